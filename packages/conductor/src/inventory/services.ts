/** Services of a backend: the functions it offers and the daemons it runs. One that is reported no more is down. */
import { insertMany, updateMany } from '@cyborg/store/bulk';

import type { NewEvent } from '../record-event.ts';
import type { Applying } from './applying.ts';
import { differences } from './rows.ts';

const facts = ['kind', 'state', 'reason'] as const;

export async function applyServices(applying: Applying): Promise<void> {
  const { inventory, known, act, deps, backend, events } = applying;
  const byName = new Map(known.services.map((row) => [row.name, row]));
  const added = [];
  const changed = [];
  for (const { name, ...reported } of inventory.services) {
    const row = byName.get(name);
    byName.delete(name);
    if (row === undefined) {
      const id = deps.rng.uuid();
      const place = { host_id: backend.host_id, backend_id: backend.id, status: 'enabled' };
      added.push({ id, name, ...place, ...reported, created_at: act.now });
      events.push(serviceEvent(applying, 'service.added', { id, name, ...reported }));
    } else if (differences(row, { ...row, ...reported }, facts).length > 0) {
      changed.push({ id: row.id, ...reported, updated_at: act.now });
      events.push(serviceEvent(applying, 'service.changed', { id: row.id, name, ...reported }));
    }
  }
  for (const row of byName.values()) {
    if (row.state === 'down') continue;
    const down = { kind: row.kind, state: 'down', reason: 'not offered any more' } as const;
    changed.push({ id: row.id, ...down, updated_at: act.now });
    events.push(serviceEvent(applying, 'service.down', { id: row.id, name: row.name, ...down }));
  }
  await insertMany(act.tx, {
    table: 'service',
    columns: ['id', 'name', 'host_id', 'backend_id', 'status', ...facts, 'created_at'],
    rows: added,
  });
  await updateMany(act.tx, { table: 'service', columns: [...facts, 'updated_at'], rows: changed });
}

function serviceEvent(
  { backend }: Applying,
  kind: NewEvent['kind'],
  { id, ...data }: { readonly id: string; readonly [key: string]: unknown },
): NewEvent {
  return {
    kind,
    subjectKind: 'service',
    subjectId: id,
    hostId: backend.host_id,
    data: { backend: backend.name, ...data },
  };
}
