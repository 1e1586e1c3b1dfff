/**
 * Drivers that can be started without a download: folders with a package.json, whose `version` is the driver's and whose
 * folder name is its id (or `cyborg.driver_id`), with the program in `src/main.ts` (or `cyborg.main`). The program is for
 * Node, or, with `cyborg.runtime` "program", an executable file in any language.
 */
import { readdir, readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { existsSync } from 'node:fs';
import Type, { type Static } from 'typebox';
import { Value } from 'typebox/value';
import { messageOf } from '@cyborg/service/node-error';
import type { Logger } from '@cyborg/service/logging';

export type DriverRuntime = 'node' | 'python3' | 'program';

export interface DriverPackage {
  readonly id: string;
  readonly version: string;
  /** Real path. */
  readonly folder: string;
  /** The program, an absolute path. */
  readonly main: string;
  /** `program`: an executable file, started as it is. `python3`: run by the host's. */
  readonly runtime: DriverRuntime;
  /** For Node the folder above it that has `node_modules`: what a driver's imports resolve in. Else the package's own. */
  readonly codeRoot: string;
  /** Of one whose folder is made anew with each start; else manifest.json is in the folder, if there is one. */
  readonly manifest?: unknown;
  /** It asked for it, and an admin approved it. */
  readonly mayUseNetwork?: boolean;
}

const RuntimeSchema = Type.Union([
  Type.Literal('node'),
  Type.Literal('python3'),
  Type.Literal('program'),
]);

/** The part of a package's manifest.json that says how it is started. */
const OwnManifestSchema = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 255 }),
  entry: Type.String({ pattern: '^[A-Za-z0-9._@+/-]+$' }),
  runtime: RuntimeSchema,
});

const ManifestSchema = Type.Object({
  version: Type.String({ minLength: 1, maxLength: 255 }),
  cyborg: Type.Optional(
    Type.Object({
      driver_id: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
      main: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9._/-]+$' })),
      runtime: Type.Optional(RuntimeSchema),
    }),
  ),
});

/** A package that cannot be read is left out and logged: it harms no other. */
export async function findDrivers(
  folders: readonly string[],
  log: Pick<Logger, 'warn'>,
): Promise<DriverPackage[]> {
  const found: DriverPackage[] = [];
  for (const folder of folders) {
    const names = await readdir(folder).catch((error: unknown) => {
      log.warn({ folder, reason: messageOf(error) }, 'the folder of drivers cannot be read');
      return [];
    });
    for (const name of names.toSorted((a, b) => a.localeCompare(b))) {
      const file = join(folder, name, 'package.json');
      if (!existsSync(file)) continue;
      try {
        found.push(await readPackage(await realpath(join(folder, name))));
      } catch (error) {
        log.warn({ file, reason: messageOf(error) }, 'this driver package is left out');
      }
    }
  }
  return found;
}

export async function readPackage(folder: string): Promise<DriverPackage> {
  const text = await readFile(join(folder, 'package.json'), 'utf8');
  const { version, cyborg = await readOwnManifest(folder) } = Value.Parse(
    ManifestSchema,
    JSON.parse(text),
  );
  const main = await realpath(join(folder, cyborg?.main ?? join('src', 'main.ts')));
  if (!main.startsWith(`${folder}/`)) throw new Error(`${main} lies outside the package`);
  const id = cyborg?.driver_id ?? basename(folder);
  const runtime = cyborg?.runtime ?? 'node';
  const codeRoot = runtime === 'node' ? codeRootOf(folder) : folder;
  return { id, version, folder, main, runtime, codeRoot };
}

type Start = NonNullable<Static<typeof ManifestSchema>['cyborg']>;

/** A package that could be uploaded says it there, a built-in driver in package.json. */
async function readOwnManifest(folder: string): Promise<Start | undefined> {
  const text = await readFile(join(folder, 'manifest.json'), 'utf8').catch(() => '{}');
  const content: unknown = JSON.parse(text);
  if (!Value.Check(OwnManifestSchema, content)) return undefined;
  return { driver_id: content.id, main: content.entry, runtime: content.runtime };
}

function codeRootOf(folder: string): string {
  for (let at = folder; ; at = dirname(at)) {
    if (existsSync(join(at, 'node_modules'))) return at;
    if (at === dirname(at)) return folder;
  }
}
