import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { TSchema, Static } from 'typebox';
import { Value } from 'typebox/value';
import { hasCode, messageOf } from '../hypervisors/node-error.ts';

/** Replaces the file as a whole: a crash leaves the old content or the new, on disk when this returns. */
export async function writeDurably(path: string, content: unknown, mode = 0o600): Promise<void> {
  const draft = `${path}.new`;
  const file = await open(draft, 'w', mode);
  try {
    await file.writeFile(`${JSON.stringify(content, null, 2)}\n`);
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
  await syncFolder(dirname(path));
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** @returns undefined when there is no such file. @throws when it is not what the schema says, naming the way out. */
export async function readChecked<Schema extends TSchema>(
  path: string,
  schema: Schema,
): Promise<Static<Schema> | undefined> {
  let text;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    return Value.Parse(schema, JSON.parse(text));
  } catch (error) {
    throw new Error(
      `${path} cannot be understood (${messageOf(error)}): restore it, or remove it and enrol this host again.`,
      { cause: error },
    );
  }
}
