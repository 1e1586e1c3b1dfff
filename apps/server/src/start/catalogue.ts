/** The drivers that come with this release: drivers/<name>/manifest.json. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import type { BuiltinManifest } from '@cyborg/conductor/ledger/builtin-drivers';
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

const driversFolder = join(import.meta.dirname, '../../../../drivers');

/** @throws naming the manifest that is wrong: it is part of the release. */
export function readBuiltinDrivers(folder: string = driversFolder): BuiltinManifest[] {
  return readdirSync(folder)
    .map((name) => join(folder, name, 'manifest.json'))
    .filter((path) => existsSync(path))
    .map(readManifest);
}

function readManifest(path: string): BuiltinManifest {
  const content: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (Check(ManifestSchema, content)) return content;
  const [error] = Errors(ManifestSchema, content);
  throw new Error(`${path} is wrong: ${error?.instancePath ?? ''} ${error?.message ?? ''}.`);
}
