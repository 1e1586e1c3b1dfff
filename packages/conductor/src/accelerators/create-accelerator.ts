/** accelerator-create: one more on offer. What that means is the backend's kind's. */
import { isAdmin, type Caller } from '@cyborg/model/caller';
import { firstEpoch } from '@cyborg/model/epoch';
import { ServiceError } from '@cyborg/model/errors';
import type { BackendAddition } from '@cyborg/store/schema-deployments';
import type { DriverManifest } from '@cyborg/store/schema-drivers';
import { sql } from 'kysely';

import { findBackend, type BackendRow } from '../backends/find-backend.ts';
import { additionsKey } from '../deployments/additions.ts';
import { checkConfig, checkDelegable, kindOf } from '../deployments/config.ts';
import { isLeaving } from '../deployments/removing.ts';
import { checkOverlaps, toPlanned } from '../deployments/conflicts.ts';
import type { ConductorDeps } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import type { DryRunQuery, Input } from '../handler.ts';
import { idempotently } from '../idempotency.ts';
import { recordEvents } from '../record-event.ts';
import { scopeOf } from '../scope.ts';
import { act, type Act } from '../transaction.ts';
import { offerByAddress, planOffer } from './offer-by-address.ts';
import { placeOf, type Placement } from './placement.ts';
import { readAccelerator, type AcceleratorView } from './view.ts';

export interface CreateBody {
  readonly backend: string;
  readonly name?: string | undefined;
  readonly address?: string | undefined;
  readonly function?: 'crypto' | 'entropy' | undefined;
  readonly item?: Readonly<Record<string, unknown>> | undefined;
}

export type CreateAcceleratorInput = Input<object, DryRunQuery, CreateBody>;

export async function createAccelerator(
  deps: ConductorDeps,
  caller: Caller,
  { query, body, idempotencyKey: key }: CreateAcceleratorInput,
): Promise<AcceleratorView | DryRunView> {
  if (query.dry_run === true) {
    return dryRun(deps, async (running) => {
      const backend = await findBackend(running.tx, scopeOf(caller), body);
      const what = await rehearseCreation(deps, running, { caller, backend, body });
      return [{ subject_kind: 'backend', subject_id: backend.id, change: what }];
    });
  }
  const path = '/v3/accelerators';
  return act(deps, (running) =>
    idempotently(running, { caller, method: 'POST', path, key, body }, async () => {
      const backend = await findBackend(running.tx, scopeOf(caller), { ...body, isLocked: true });
      const id =
        backend.kind === 'pci'
          ? await offerByAddress(running, { caller, backend, body })
          : await addByRequest(deps, running, { caller, backend, body });
      return readAccelerator(running.tx, caller, id);
    }),
  );
}

interface Creation {
  readonly caller: Caller;
  readonly backend: BackendRow;
  readonly body: CreateBody;
}

async function rehearseCreation(
  deps: ConductorDeps,
  running: Act,
  creation: Creation,
): Promise<string> {
  if (creation.backend.kind === 'pci') {
    const row = await planOffer(running, creation);
    return `${row.name} is offered`;
  }
  const { addition } = await planAddition(deps, running, creation);
  return `${nameOf(addition)} is added`;
}

/** The driver reads it in its configuration; the ledger has it at once, withheld until it is reported. */
async function planAddition(
  deps: ConductorDeps,
  { tx }: Act,
  { caller, backend, body }: Creation,
): Promise<{ readonly addition: BackendAddition; readonly placement: Placement }> {
  const list = additionsKey(backend.kind);
  const where = `backend ${backend.host_name}@${backend.name}`;
  if (list === undefined || isLeaving(backend.state)) {
    throw new ServiceError(
      'invalid-input',
      `${where} (kind ${backend.kind}, ${backend.state}): nothing can be added to it by request.`,
    );
  }
  const addition = additionOf(deps, { backend, body });
  const manifest = await tx
    .selectFrom('installation')
    .innerJoin('driver_version', (join) =>
      join
        .onRef('driver_version.driver_id', '=', 'installation.driver_id')
        .onRef('driver_version.version', '=', 'installation.wanted_version'),
    )
    .select('driver_version.manifest')
    .where('installation.id', '=', backend.installation_id)
    .executeTakeFirstOrThrow();
  const kind = kindOf(manifest.manifest, { backend: backend.name, kind: backend.kind });
  if (!isAdmin(caller)) {
    const given = { backend: backend.name, before: {}, after: { [list]: [addition] } };
    checkDelegable(kind, given);
  }
  const additions = [...backend.additions, addition];
  checkConfig(kind, { backend: backend.name, config: backend.config, additions });
  if (backend.kind === 'static') {
    await checkDeclared(tx, { backend, addition, manifest: manifest.manifest });
  }
  return { addition, placement: placeOf(backend, addition) };
}

/** Nothing that another backend of the host, or this one, has already. */
async function checkDeclared(
  tx: Act['tx'],
  given: {
    readonly backend: BackendRow;
    readonly addition: BackendAddition;
    readonly manifest: DriverManifest;
  },
): Promise<void> {
  const { backend, addition, manifest } = given;
  const { host_id: id, host_name: host, driver_id } = backend;
  const rows = await tx
    .selectFrom('backend')
    .select(['name', 'kind', 'config', 'driver_id'])
    .where('host_id', '=', id)
    .where('state', '<>', 'removing')
    .execute();
  const selector = { kind: 'hosts', host_ids: [id] } as const;
  const all = rows.map((row) =>
    toPlanned(
      { ...row, selector },
      row.driver_id,
      row.driver_id === driver_id ? manifest : undefined,
    ),
  );
  const hosts = [{ id, name: host, status: backend.host_status, labels: {} }];
  const added = [{ driver_id, backend: backend.name, host, item: addition }];
  await checkOverlaps(tx, { hosts }, { all, changed: new Set([backend.name]), added });
}

function additionOf(
  { rng }: Pick<ConductorDeps, 'rng'>,
  { backend, body }: Pick<Creation, 'backend' | 'body'>,
): BackendAddition {
  const name = body.name === undefined ? {} : { name: body.name };
  if (backend.kind === 'static') {
    if (body.item === undefined || body.address !== undefined || body.function !== undefined) {
      throw wrongFields(backend, 'give `item`, which declares it, and nothing else');
    }
    const key = typeof body.item['key'] === 'string' ? body.item['key'] : `static-${rng.uuid()}`;
    if (backend.additions.some((addition) => addition.key === key)) {
      throw new ServiceError('already-exists', `item.key: "${key}" is taken on this backend.`);
    }
    return { ...body.item, ...name, key };
  }
  if (body.function === undefined || body.address !== undefined || body.item !== undefined) {
    throw wrongFields(backend, 'give `function`, crypto or entropy');
  }
  return { key: `${body.function}-${rng.uuid()}`, function: body.function, ...name };
}

function nameOf(addition: BackendAddition): string {
  const name: unknown = addition['name'];
  return typeof name === 'string' ? name : addition.key;
}

function wrongFields(backend: BackendRow, wanted: string): ServiceError {
  return new ServiceError(
    'invalid-input',
    `backend ${backend.host_name}@${backend.name} is of kind ${backend.kind}: ${wanted}.`,
  );
}

async function addByRequest(
  deps: ConductorDeps,
  running: Act,
  creation: Creation,
): Promise<string> {
  const { tx, now } = running;
  const { backend, caller } = creation;
  const { addition, placement } = await planAddition(deps, running, creation);
  const { deviceId, deployableId } = await ensurePlace(deps, running, { backend, placement });
  const id = deps.rng.uuid();
  const inserted = await tx
    .insertInto('accelerator')
    .values({
      id,
      deployable_id: deployableId,
      device_id: deviceId,
      backend_id: backend.id,
      host_id: backend.host_id,
      key: addition.key,
      name: nameOf(addition),
      type: placement.type,
      resource_class: placement.resourceClass,
      driver_id: backend.driver_id,
      state: 'withheld',
      reason: 'not reported yet',
      rule_offers: true,
      presence: 'absent',
      absent_since: null, // it has never been there
      health: 'unknown',
      epoch: firstEpoch(deps.ledger.incarnation),
      created_by_request: true,
      created_at: now,
    })
    .onConflict((conflict) => conflict.columns(['backend_id', 'key']).doNothing())
    .returning('id')
    .executeTakeFirst();
  if (inserted === undefined) {
    throw new ServiceError(
      'already-exists',
      `item.key: "${addition.key}" is taken on this backend.`,
    );
  }
  await writeAdditions(running, backend, [...backend.additions, addition]);
  await recordEvents(running, [
    {
      kind: 'accelerator.created',
      subjectKind: 'accelerator',
      subjectId: id,
      hostId: backend.host_id,
      userId: caller.userId,
      data: { backend: backend.name, key: addition.key },
    },
  ]);
  return id;
}

/** The keys that the driver will use, so that its report finds them. */
async function ensurePlace(
  { rng }: Pick<ConductorDeps, 'rng'>,
  { tx, now }: Act,
  { backend, placement }: { readonly backend: BackendRow; readonly placement: Placement },
): Promise<{ readonly deviceId: string; readonly deployableId: string }> {
  const { key, type, resourceClass, deployableName } = placement;
  await tx
    .insertInto('device')
    .values({
      id: rng.uuid(),
      host_id: backend.host_id,
      backend_id: backend.id,
      key,
      type,
      presence: 'present',
      health: 'unknown',
      created_at: now,
    })
    .onConflict((conflict) => conflict.columns(['backend_id', 'key']).doNothing())
    .execute();
  const device = await tx
    .selectFrom('device')
    .select('id')
    .where('backend_id', '=', backend.id)
    .where('key', '=', key)
    .executeTakeFirstOrThrow();
  await tx
    .insertInto('deployable')
    .values({
      id: rng.uuid(),
      device_id: device.id,
      key,
      name: deployableName,
      resource_class: resourceClass,
      created_at: now,
    })
    .onConflict((conflict) => conflict.columns(['device_id', 'key']).doNothing())
    .execute();
  const deployable = await tx
    .selectFrom('deployable')
    .select('id')
    .where('device_id', '=', device.id)
    .where('key', '=', key)
    .executeTakeFirstOrThrow();
  return { deviceId: device.id, deployableId: deployable.id };
}

export async function writeAdditions(
  { tx, wakeUps }: Act,
  backend: BackendRow,
  additions: readonly BackendAddition[],
): Promise<void> {
  await sql`update backend set additions = ${JSON.stringify(additions)}::jsonb,
      generation = generation + 1 where id = ${backend.id}`.execute(tx);
  wakeUps.add(`host:${backend.host_id}`);
}
