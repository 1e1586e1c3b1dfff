/** For tests: a host with a deployable that Nova can bind, a conductor, and a Placement to write it to. */
import { uuid3 } from '@cyborg/model/v2/provider';
import type { PlacementClient } from '@cyborg/openstack/placement';
import { systemClock } from '@cyborg/service/clock';
import { toJson } from '@cyborg/store/json';
import { openTestDatabase } from '@cyborg/testing/database';
import { addBackend, addHost } from '@cyborg/testing/fleet';
import { addProfile, addProvider, type Provider } from '@cyborg/testing/providers';

import type { ConductorDeps, Db } from '../src/deps.ts';
import type { PassReport, Reconciler } from '../src/reconciler.ts';
import { numberEvents } from '../src/reconcilers/number-events.ts';
import { recordEvents } from '../src/record-event.ts';
import { makeTestDeps } from '../src/test-deps.ts';
import { act } from '../src/transaction.ts';
import type { PlacementLimits } from '../src/placement/limits.ts';
import { placementReconcilers } from '../src/placement/reconcile-placement.ts';

export interface SceneOptions {
  readonly placement: PlacementClient;
  readonly nodeName?: string;
  readonly count?: number;
  readonly limits?: Partial<PlacementLimits>;
  readonly placesHotplug?: boolean;
}

export interface Scene extends AsyncDisposable {
  readonly db: Db;
  readonly deps: ConductorDeps;
  readonly nodeName: string;
  readonly host: { readonly id: string };
  readonly backend: { readonly id: string; readonly host_id: string; readonly driver_id: string };
  readonly card: Provider & { readonly name: string };
  /** Another reconciler, as another conductor runs it. */
  readonly another: () => Reconciler;
  readonly pass: () => Promise<PassReport>;
  /** Passes until nothing is left to do, or what is left waits. */
  readonly settle: () => Promise<void>;
  /** As every change of the ledger does, by an event. */
  readonly tell: () => Promise<void>;
}

const signal = new AbortController().signal;
const passesMax = 20;

export async function openScene({
  placement,
  nodeName = `node-${crypto.randomUUID()}`,
  count = 2,
  limits,
  placesHotplug = false,
}: SceneOptions): Promise<Scene> {
  const database = await openTestDatabase();
  const { db } = database;
  const host = await addHost(db, { node_name: nodeName });
  const backend = await addBackend(db, host);
  const card = await addCard(db, backend, { name: `${nodeName}_card`, count });
  await addProfile(db, { name: 'one', groups: [{ 'resources:FPGA': '1' }] });
  const deps = {
    ...makeTestDeps({ db, clock: systemClock }),
    openstack: { placement, placesHotplug },
  };
  const soon = { retryFirstMs: 1, retryMaxMs: 1, outageFirstMs: 1, outageMaxMs: 1 };
  const another = (): Reconciler => {
    const [made] = placementReconcilers(deps, { ...soon, ...limits });
    if (made === undefined) throw new Error('there is no reconciler');
    return made;
  };
  const reconciler = another();
  const pass = async (): Promise<PassReport> => {
    await numberEvents(deps).pass(signal);
    return reconciler.pass(signal);
  };
  return {
    db,
    deps,
    nodeName,
    host,
    backend,
    card,
    another,
    pass,
    async settle() {
      for (let n = 0; n < passesMax; n++) {
        const { found, notes = {} } = await pass();
        if (found + (notes['noticed'] ?? 0) + (notes['outages'] ?? 0) === 0) return;
      }
    },
    async tell() {
      await act(deps, (current) =>
        recordEvents(current, [
          { kind: 'test.changed', subjectKind: 'host', subjectId: host.id, hostId: host.id },
        ]),
      );
    },
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

/** A deployable of so many handles under its own name. */
export async function addCard(
  db: Db,
  backend: Scene['backend'],
  {
    name,
    count,
    traits = ['CUSTOM_FAKE_DEVICE'],
  }: { name: string; count: number; traits?: string[] },
): Promise<Provider & { readonly name: string }> {
  const made = await addProvider(db, backend, { count });
  const rpUuid = uuid3(name);
  await db
    .updateTable('deployable')
    .set({ name, rp_uuid: rpUuid, traits: toJson(traits) })
    .where('id', '=', made.deployableId)
    .execute();
  return { ...made, rpUuid, name };
}
