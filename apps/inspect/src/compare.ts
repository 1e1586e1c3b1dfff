/** Where the sources differ. Pure. Only what two of them know is compared; what one does not know is said as unknown. */
import { deviceName, parseDeviceName } from '@cyborg/model/epoch';

import { isUnknown, type AgentSays, type Guests, type HostSays } from './says.ts';
import type { StoreSays, Unknown } from './says.ts';

/** Undefined: a source that was not asked, or has no say in this. */
export type Word = string | Unknown | undefined;

export interface Finding {
  readonly subject: string;
  readonly field: string;
  readonly store: Word;
  readonly agent: Word;
  readonly host: Word;
  readonly verdict: 'same' | 'differs' | 'unknown' | 'alone';
}

export interface Sources {
  readonly store: StoreSays | Unknown | undefined;
  readonly agent: AgentSays | Unknown | undefined;
  readonly host: HostSays | Unknown | undefined;
}

export function compare(sources: Sources): Finding[] {
  return [
    ...compareIdentity(sources),
    ...compareInstallations(sources),
    ...compareBackends(sources),
    ...compareFunctions(sources),
    ...compareHeld(sources),
    ...compareDevices(sources),
  ];
}

function finding(
  subject: string,
  field: string,
  words: Partial<Pick<Finding, 'store' | 'agent' | 'host'>>,
): Finding {
  const { store, agent, host } = words;
  const said = [store, agent, host].filter((word) => word !== undefined);
  const known = new Set(said.filter((word) => typeof word === 'string'));
  const hasUnknown = said.some((word) => isUnknown(word));
  const verdict =
    known.size > 1 ? 'differs' : hasUnknown ? 'unknown' : said.length > 1 ? 'same' : 'alone';
  return { subject, field, store, agent, host, verdict };
}

/** What a source says, or why it does not. */
function ask<Says extends object>(
  source: Says | Unknown | undefined,
  read: (says: Says) => Word,
): Word {
  if (source === undefined) return undefined;
  return isUnknown(source) ? source : read(source);
}

function listOf<Says extends object, Item>(
  source: Says | Unknown | undefined,
  read: (says: Says) => readonly Item[] | null | Unknown,
): readonly Item[] {
  if (source === undefined || isUnknown(source)) return [];
  const list = read(source);
  return list === null || isUnknown(list) ? [] : list;
}

const none = 'none';

function compareIdentity({ store, agent }: Sources): Finding[] {
  const ledgerOf = ({ id, incarnation }: { id: string; incarnation: number }): string =>
    `${id} #${incarnation}`;
  return [
    finding('host', 'ledger', {
      store: ask(store, ({ ledger }) => ledgerOf(ledger)),
      agent: ask(agent, ({ ledger }) => (ledger === null ? none : ledgerOf(ledger))),
    }),
    finding('host', 'agent', {
      store: ask(store, (says) => says.agent_instance ?? none),
      agent: ask(agent, (says) => (says.lease_held ? says.instance : notHeld)),
    }),
  ];
}

const notHeld: Unknown = { unknown: 'it does not hold the lease' };

function compareInstallations({ store, agent }: Sources): Finding[] {
  const ids = new Set([
    ...listOf(store, (says) => says.installations.map(({ driver_id: id }) => id)),
    ...listOf(agent, (says) => says.installations.map(({ driver_id: id }) => id)),
  ]);
  return [...ids].map((id) => {
    const version = (says: Pick<StoreSays, 'installations'>): string =>
      says.installations.find(({ driver_id: driver }) => driver === id)?.running_version ?? none;
    return finding(`driver ${id}`, 'version', {
      store: ask(store, version),
      agent: ask(agent, version),
    });
  });
}

function compareBackends({ store, agent }: Sources): Finding[] {
  const names = new Map(
    listOf(store, (says) => says.backends).map(({ id, name }) => [id, name] as const),
  );
  const ids = new Set([
    ...names.keys(),
    ...listOf(agent, (says) => says.backends.map(({ id }) => id)),
  ]);
  return [...ids].flatMap((id) => {
    const of = (says: Pick<StoreSays | AgentSays, 'backends'>) =>
      says.backends.find((backend) => backend.id === id);
    const subject = `backend ${names.get(id) ?? id}`;
    return (['state', 'inventory_hash'] as const).map((field) => {
      const read = (says: Pick<StoreSays | AgentSays, 'backends'>): Word =>
        of(says)?.[field] ?? none;
      const readAgent = (says: AgentSays): Word | Unknown =>
        of(says)?.[field] === null ? notLookedAt : read(says);
      return finding(subject, field, { store: ask(store, read), agent: ask(agent, readAgent) });
    });
  });
}

/** As right after its start. */
const notLookedAt: Unknown = { unknown: 'it has not been looked at yet' };

/** Functions of the host that neither ledger nor agent speaks of are nobody's here. */
function compareFunctions({ store, agent, host }: Sources): Finding[] {
  const ofAgent = (says: AgentSays) => says.backends.flatMap(({ functions }) => functions ?? []);
  const addresses = new Set([
    ...listOf(store, (says) => says.functions.map(({ address }) => address)),
    ...listOf(agent, (says) => ofAgent(says).map(({ address }) => address)),
  ]);
  return [...addresses].toSorted().map((address) => {
    const bound = (
      functions: readonly { readonly address: string; readonly kernel_driver: string | null }[],
    ): string => {
      const found = functions.find((one) => one.address === address);
      return found === undefined ? 'absent' : `present, ${found.kernel_driver ?? 'no'} driver`;
    };
    return finding(`function ${address}`, 'kernel', {
      store: ask(store, ({ functions }) =>
        bound(functions.filter(({ presence }) => presence === 'present')),
      ),
      agent: ask(agent, (says) =>
        says.backends.every(({ functions }) => functions !== null)
          ? bound(ofAgent(says))
          : { unknown: 'not every backend has been looked at' },
      ),
      host: ask(host, ({ functions }) => (isUnknown(functions) ? functions : bound(functions))),
    });
  });
}

/** What the agent remembers of what its host holds. */
function compareHeld({ store, agent }: Sources): Finding[] {
  const attachments = listOf(store, (says) => says.attachments);
  const ids = new Set([...attachments.map(({ id }) => id), ...listOf(agent, (says) => says.held)]);
  const inStore = (id: string, says: StoreSays): Word => {
    const { state, instance_id: instance } = says.attachments.find((one) => one.id === id) ?? {};
    if (state === undefined || instance === null) return none;
    return ['attached', 'failed'].includes(state) ? 'held' : { unknown: underWay(state) };
  };
  return [...ids].map((id) =>
    finding(`attachment ${id}`, 'held', {
      store: ask(store, (says) => inStore(id, says)),
      agent: ask(agent, ({ held }) =>
        held === null
          ? { unknown: 'it has not read what its host holds' }
          : held.includes(id)
            ? 'held'
            : none,
      ),
    }),
  );
}

function underWay(state: string): string {
  return `the attachment is ${state}: it may or may not be there`;
}

function compareDevices({ store, agent, host }: Sources): Finding[] {
  const attachments = listOf(store, (says) => says.attachments);
  const names = new Map(
    attachments.map(({ id, device_epoch: epoch }) => [deviceName(id, epoch), id] as const),
  );
  const seen = [
    ...listOf(agent, (says) => says.hypervisor?.devices ?? null),
    ...listOf(host, (says) => (isUnknown(says.hypervisor) ? null : says.hypervisor.devices)),
  ].filter(({ name }) => parseDeviceName(name) !== undefined);
  const all = new Set([...names.keys(), ...seen.map(({ name }) => name)]);
  return [...all].toSorted().map((name) =>
    finding(`device ${name}`, 'in instance', {
      store: ask(store, (says) => placeInStore(says, name)),
      agent: ask(agent, ({ hypervisor }) =>
        hypervisor === null ? notLooked : placeInGuests(hypervisor, name),
      ),
      host: ask(host, ({ hypervisor }) =>
        isUnknown(hypervisor) ? hypervisor : placeInGuests(hypervisor, name),
      ),
    }),
  );
}

const notLooked: Unknown = { unknown: 'it has no look at its hypervisor that can be trusted' };

function placeInStore({ attachments }: StoreSays, name: string): Word {
  const found = attachments.find(({ id, device_epoch: at }) => deviceName(id, at) === name);
  if (found === undefined) return none;
  if (found.plugged_by === 'nova') return { unknown: 'Nova plugs it, under a name of its own' };
  if (found.state === 'attached') return found.instance_id ?? none;
  return { unknown: underWay(found.state) };
}

function placeInGuests({ is_complete: isComplete, devices }: Guests, name: string): Word {
  const found = devices.find((device) => device.name === name);
  if (found !== undefined) return found.instance_id;
  return isComplete ? none : { unknown: 'an instance did not answer' };
}
