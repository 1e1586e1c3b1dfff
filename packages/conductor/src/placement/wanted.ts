/** What Placement is to have of a deployable. */
import { uuid3 } from '@cyborg/model/v2/provider';
import { listOffered, type OfferedRow } from '@cyborg/store/placement';
import type { ProviderContent } from '@cyborg/store/schema-openstack';

import type { Db } from '../deps.ts';

export interface WantedProvider {
  readonly rpUuid: string;
  readonly name: string;
  readonly deployableId: string;
  readonly hostId: string;
  readonly content: ProviderContent;
}

const hotplugTrait = 'CUSTOM_CYBORG_HOTPLUG_ONLY';
/** Placement takes no longer name. */
const nameCharsMax = 200;

export function toWanted(row: OfferedRow): WantedProvider {
  const { deployable_id: deployableId, host_id: hostId, rp_uuid: rpUuid } = row;
  const { node_name, total, reserved } = row;
  const place = { deployableId, hostId };
  if (rpUuid !== null) {
    const { name, resource_class, traits } = row;
    const content = { node_name, resource_class, total, reserved, traits: inOrder(traits) };
    return { rpUuid, name, ...place, content };
  }
  const name = hotplugName(row);
  const resource_class = `CUSTOM_CYBORG_${row.resource_class.replace(/^CUSTOM_(CYBORG_)?/, '')}`;
  const traits = inOrder([...row.traits, hotplugTrait]);
  const content = { node_name, resource_class, total, reserved, traits };
  return { rpUuid: uuid3(name), name, ...place, content };
}

/** As the ledger has it now; undefined when nothing of it is to be in Placement under this UUID. */
export async function readWanted(
  db: Db,
  given: {
    readonly deployableId: string;
    readonly rpUuid: string;
    readonly withHotplug: boolean;
  },
): Promise<WantedProvider | undefined> {
  const { deployableId, rpUuid, withHotplug } = given;
  const rows = await listOffered(db, { withHotplug, deployableIds: [deployableId] });
  return rows.map(toWanted).find((wanted) => wanted.rpUuid === rpUuid);
}

/** Names of virtual parts are not always unique among hosts. */
function hotplugName({ node_name: node, name }: OfferedRow): string {
  const full = name.startsWith(`${node}_`) ? name : `${node}_${name}`;
  return full.replaceAll(/[^A-Za-z0-9_.:-]/g, '_').slice(0, nameCharsMax);
}

function inOrder(traits: readonly string[]): string[] {
  return [...new Set(traits)].toSorted();
}
