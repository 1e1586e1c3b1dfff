/**
 * What a new configuration would take from those who hold it: a count that shrinks below it, an entry that goes or
 * stands for something else, rules that leave a function out. Only the kinds of the generic driver can be foretold; what
 * another kind leaves out becomes absent, and is kept by whoever holds it (promise 3).
 */
import { isDeepStrictEqual } from 'node:util';

import type { BackendAddition, BackendConfig } from '@cyborg/store/schema-deployments';
import type { DriverManifest } from '@cyborg/store/schema-drivers';
import { sql } from 'kysely';

import type { Tx } from '../deps.ts';
import { claimOfHandle, functionIn } from '../inventory/claims.ts';
import { additionsKey, withAdditions } from './additions.ts';
import { checkConfig, kindOf } from './config.ts';
import type { DeploymentBackendRow } from './context.ts';
import { drops, type KnownFacts } from './overlap.ts';
import { lockUses, type Use } from './users.ts';

export interface ConfigChange {
  readonly row: DeploymentBackendRow;
  readonly config: BackendConfig;
}

interface Held {
  readonly id: string;
  readonly key: string;
  readonly name: string;
  readonly additions: readonly BackendAddition[];
  readonly attach_info: Readonly<Record<string, string>>;
  readonly address: string | null;
  readonly vendor_id: string | null;
  readonly device_id: string | null;
  readonly class: string | null;
}

export async function takenAway(
  tx: Tx,
  given: {
    readonly driverId: string;
    readonly manifest: DriverManifest;
    readonly changes: readonly ConfigChange[];
    readonly isLocked: boolean;
  },
): Promise<Use[]> {
  const names = given.changes.map(({ row }) => row.name);
  const backends = await tx
    .selectFrom('backend')
    .select('id')
    .where('driver_id', '=', given.driverId)
    .where('name', '=', sql<string>`any(${names}::text[])`)
    .execute();
  const backendIds = backends.map(({ id }) => id);
  const uses = await lockUses(tx, { backendIds, isLocked: given.isLocked });
  if (uses.length === 0) return [];
  const held = await readHeld(tx, uses);
  return uses.filter(({ id, backend }) => {
    const change = given.changes.find(({ row }) => row.name === backend);
    const item = held.get(id);
    return change !== undefined && item !== undefined && goes(item, change, given.manifest);
  });
}

async function readHeld(tx: Tx, uses: readonly Use[]): Promise<Map<string, Held>> {
  const { rows } = await sql<Held>`
    select a.id, a.key, b.name, b.additions, a.attach_info, d.address, d.vendor_id, d.device_id, d.class
    from accelerator a join backend b on b.id = a.backend_id join device d on d.id = a.device_id
    where a.id = any(${uses.map(({ id }) => id)}::uuid[])`.execute(tx);
  return new Map(rows.map((row) => [row.id, row]));
}

function goes(held: Held, { row, config }: ConfigChange, manifest: DriverManifest): boolean {
  const kind = kindOf(manifest, { backend: row.name, kind: row.kind });
  const filled = (one: BackendConfig): BackendConfig =>
    withAdditions(row.kind, checkConfig(kind, { backend: row.name, config: one }), held.additions);
  const [before, after] = [filled(row.config), filled(config)];
  switch (row.kind) {
    case 'virtual':
      return isMade(before, held.key) && !isMade(after, held.key);
    case 'static':
      return !isDeepStrictEqual(planIn(before, held.key), planIn(after, held.key));
    case 'pci':
      return drops(before, after, factsOf(held));
    default:
      return false;
  }
}

/** Counted ones are called `crypto-0` and so on. */
function isMade(config: BackendConfig, key: string): boolean {
  if (entriesOf('virtual', config).some((entry) => entry.get('key') === key)) return true;
  const [, name = '', index = ''] = /^(crypto|entropy)-(\d+)$/.exec(key) ?? [];
  const count = config[name];
  return typeof count === 'number' && Number(index) < count;
}

/** A plan that differs is another thing under the same key; undefined: no such entry. */
function planIn(config: BackendConfig, key: string): unknown {
  const entry = entriesOf('static', config).find((one) => one.get('key') === key);
  return entry === undefined ? undefined : { plan: entry.get('plan') ?? null };
}

function entriesOf(kind: string, config: BackendConfig): Map<string, unknown>[] {
  const list: unknown = config[additionsKey(kind) ?? ''];
  const items: unknown[] = Array.isArray(list) ? list : [];
  return items.map((item) => {
    const isObject = typeof item === 'object' && item !== null;
    return new Map<string, unknown>(isObject ? Object.entries(item) : []);
  });
}

/** The kernel driver is another one while somebody holds it; of a virtual function the ledger knows less. */
function factsOf({ attach_info, address, vendor_id, device_id, class: code }: Held): KnownFacts {
  const own = functionIn(claimOfHandle(attach_info, address).whole) ?? address ?? '';
  const isWhole = own === address;
  return {
    address: own,
    ...(vendor_id !== null && { vendor: vendor_id }),
    ...(isWhole && device_id !== null && { device: device_id }),
    ...(isWhole && code !== null && { class: code }),
  };
}
