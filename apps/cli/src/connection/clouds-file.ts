/** clouds.yaml with secure.yaml over it, where openstacksdk looks for them. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import { CliError } from '../errors.ts';
import { isMissing, parseYaml } from './client-file.ts';
import { isRecord, settingsOfCloud } from './cloud-settings.ts';
import type { CloudSettings } from './cloud-settings.ts';
import type { Lookup } from './source.ts';

type Io = Lookup['io'];
type Tree = Readonly<Record<string, unknown>>;

/** @throws CliError when there is no such cloud, which names those that are there. */
export async function readCloud(cloud: string, io: Io): Promise<CloudSettings> {
  const files = filesOf(io, { variable: 'OS_CLIENT_CONFIG_FILE', name: 'clouds' });
  const found = await readFirst(files);
  if (found === undefined) {
    throw new CliError(
      `The cloud '${cloud}' is asked for, and there is no clouds.yaml; looked for ${files.join(', ')}.`,
    );
  }
  const clouds = await cloudsOf(found);
  const entry = clouds[cloud];
  if (!isRecord(entry)) {
    throw new CliError(
      `${found.file} has no cloud '${cloud}'; it has ${Object.keys(clouds).join(', ') || 'none'}.`,
    );
  }
  const secure = await readFirst(
    filesOf(io, { variable: 'OS_CLIENT_SECURE_FILE', name: 'secure' }),
  );
  const secrets = secure === undefined ? {} : (await cloudsOf(secure))[cloud];
  return settingsOfCloud(`The cloud '${cloud}' of ${found.file}`, merge(entry, secrets));
}

function filesOf(
  { env, home, workingDirectory }: Io,
  { variable, name }: { variable: string; name: string },
): string[] {
  const named = env[variable];
  if (named !== undefined) return [resolve(workingDirectory, named)];
  const base = env['XDG_CONFIG_HOME'] ?? resolve(home, '.config');
  return [workingDirectory, resolve(base, 'openstack'), '/etc/openstack'].flatMap((folder) =>
    ['yaml', 'yml'].map((ending) => resolve(folder, `${name}.${ending}`)),
  );
}

interface FoundFile {
  readonly file: string;
  readonly text: string;
}

async function readFirst(files: readonly string[]): Promise<FoundFile | undefined> {
  for (const file of files) {
    try {
      return { file, text: await readFile(file, 'utf8') };
    } catch (error) {
      if (!isMissing(error)) throw new CliError(`${file} cannot be read: ${String(error)}`);
    }
  }
  return undefined;
}

async function cloudsOf({ file, text }: FoundFile): Promise<Tree> {
  const { clouds } = await parseYaml(file, text);
  return isRecord(clouds) ? clouds : {};
}

/** What is in the second goes before the first, at every depth. */
function merge(base: Tree, over: unknown): Tree {
  if (!isRecord(over)) return base;
  const merged = Object.entries(over).map(([key, value]) => {
    const below = base[key];
    return [key, isRecord(below) && isRecord(value) ? merge(below, value) : value];
  });
  return { ...base, ...Object.fromEntries(merged) };
}
