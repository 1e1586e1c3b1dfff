/** The drivers that come with this release: drivers/<name>/manifest.json. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { putBuiltinDriver } from '@cyborg/store/catalogue';
import type { BuiltinDriver } from '@cyborg/store/catalogue';
import type { ConductorDeps } from '@cyborg/conductor/deps';
import Type from 'typebox';
import { Check, Errors } from 'typebox/value';

const Key = Type.String({ minLength: 1, maxLength: 255 });
const Values = Type.Record(Type.String(), Type.Unknown());

const ManifestSchema = Type.Object({
  id: Key,
  title: Key,
  version: Key,
  kinds: Type.Array(
    Type.Object({ kind: Key, title: Key, config_schema: Values, delegable: Type.Array(Key) }),
  ),
  default_backends: Type.Array(Type.Object({ name: Key, kind: Key, config: Values })),
});

export const driversFolder = join(import.meta.dirname, '../../../../drivers');

/** @throws naming the manifest that is wrong: it is part of the release. */
export function readBuiltinDrivers(folder: string = driversFolder): BuiltinDriver[] {
  return readdirSync(folder)
    .map((name) => join(folder, name, 'manifest.json'))
    .filter((path) => existsSync(path))
    .map(readManifest);
}

function readManifest(path: string): BuiltinDriver {
  const content: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (!Check(ManifestSchema, content)) {
    const [error] = Errors(ManifestSchema, content);
    throw new Error(`${path} is wrong: ${error?.instancePath ?? ''} ${error?.message ?? ''}.`);
  }
  const { id, title, version, kinds, default_backends } = content;
  return { id, title, version, manifest: { kinds, default_backends } };
}

export async function fillCatalogue({
  db,
  clock,
}: Pick<ConductorDeps, 'db' | 'clock'>): Promise<void> {
  for (const driver of readBuiltinDrivers()) await putBuiltinDriver(db, driver, clock.now());
}
