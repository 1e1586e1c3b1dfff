/** Drivers that come with the release: in the catalogue from the first start, and approved. */
import { toJson } from '@cyborg/store/json';
import type { DriverManifest } from '@cyborg/store/schema-drivers';

import type { ConductorDeps } from '../deps.ts';
import { recordEvents } from '../record-event.ts';
import { act, type Act } from '../transaction.ts';

/** A driver's `manifest.json`. */
export interface BuiltinManifest extends DriverManifest {
  readonly id: string;
  readonly version: string;
  readonly title: string;
}

/** Every server does this at its start; the second time changes nothing. */
export function registerBuiltinDrivers(
  deps: Pick<ConductorDeps, 'db' | 'clock' | 'wake' | 'limits'>,
  manifests: readonly BuiltinManifest[],
): Promise<void> {
  return act(deps, async (running) => {
    for (const manifest of manifests) await register(running, manifest);
  });
}

async function register(running: Act, manifest: BuiltinManifest): Promise<void> {
  const { tx, now } = running;
  const { id, version, title, kinds, default_backends, needs } = manifest;
  await tx
    .insertInto('driver')
    .values({ id, title, created_at: now })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ title }))
    .execute();
  const text = toJson({ kinds, default_backends, ...(needs && { needs }) });
  const known = await tx
    .selectFrom('driver_version')
    .select('version')
    .where('driver_id', '=', id)
    .where('version', '=', version)
    .executeTakeFirst();
  await tx
    .insertInto('driver_version')
    .values({
      driver_id: id,
      version,
      state: 'approved',
      is_builtin: true,
      manifest: text,
      created_at: now,
    })
    .onConflict((conflict) =>
      conflict
        .columns(['driver_id', 'version'])
        .doUpdateSet({ manifest: text, is_builtin: true, state: 'approved' }),
    )
    .execute();
  if (known !== undefined) return;
  await recordEvents(running, [
    { kind: 'driver.registered', subjectKind: 'driver', subjectId: id, data: { version } },
  ]);
}
