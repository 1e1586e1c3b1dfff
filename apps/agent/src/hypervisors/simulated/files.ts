/**
 * What a simulated hypervisor keeps on disk. The folder is the whole truth: any number of processes may open it, be
 * killed, and open it again. Everything is UTF-8 JSON unless said otherwise, and appears and disappears whole (link,
 * rename, unlink).
 *
 *     format                          `1`: written last at first start; while it is there nothing is seeded again
 *     instances/<uuid>.json           {"id", "name", "position", "project_id": string|null,
 *                                      "state": "ACTIVE"|"PAUSED"|"SHUTOFF"|"SUSPENDED"|"ERROR"|"UNKNOWN"}
 *     devices/<uuid>/<device name>    {"name", "plan"}: one file per plugged device
 *     tmp/                            files being written; put new ones here and rename them into place
 *     faults/                         see faults.ts
 *
 * To do what the world does to a real one:
 * - a guest reboots and loses its devices: remove the files in `devices/<uuid>/`;
 * - an instance is gone: remove `instances/<uuid>.json` (its devices go with it from every answer);
 * - it stops, pauses, changes project: replace `instances/<uuid>.json`;
 * - the hypervisor's folder is lost: move the whole folder away (everything is `unavailable`).
 */
import { link, mkdir, open, readdir, rename, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Type, { type Static } from 'typebox';
import { Value } from 'typebox/value';
import { hasCode } from '../node-error.ts';
import { isFunctionAddress } from '../vfio.ts';

export const simulatedLimits = {
  instancesMax: 1024,
  devicesPerInstanceMax: 16_384,
  fileBytesMax: 16 * 1024,
  /** Files of a killed process in tmp/ are removed at start when they are older than this. */
  tmpAgeMsMax: 60_000,
} as const;

const InstanceFileSchema = Type.Object(
  {
    id: Type.String({ minLength: 36, maxLength: 36 }),
    name: Type.String({ minLength: 1, maxLength: 255 }),
    position: Type.Integer({ minimum: 0 }),
    project_id: Type.Union([Type.String({ minLength: 1, maxLength: 255 }), Type.Null()]),
    state: Type.Union([
      Type.Literal('ACTIVE'),
      Type.Literal('PAUSED'),
      Type.Literal('SHUTOFF'),
      Type.Literal('SUSPENDED'),
      Type.Literal('ERROR'),
      Type.Literal('UNKNOWN'),
    ]),
  },
  { additionalProperties: false },
);
export type InstanceFile = Static<typeof InstanceFileSchema>;

const FunctionFileSchema = Type.Object({
  plan: Type.Object({ kind: Type.Literal('pci'), address: Type.String() }),
});

export interface SimulatedPaths {
  readonly root: string;
  readonly format: string;
  readonly instances: string;
  readonly devices: string;
  readonly tmp: string;
  readonly faults: string;
}

export function pathsOf(root: string): SimulatedPaths {
  return {
    root,
    format: join(root, 'format'),
    instances: join(root, 'instances'),
    devices: join(root, 'devices'),
    tmp: join(root, 'tmp'),
    faults: join(root, 'faults'),
  };
}

/** Makes the folders and, the first time, the instances. Repeating it after a kill at any step ends the same. */
export async function prepareFolder(
  paths: SimulatedPaths,
  instances: readonly InstanceFile[],
): Promise<void> {
  for (const folder of [paths.instances, paths.devices, paths.tmp, paths.faults]) {
    await mkdir(folder, { recursive: true });
  }
  await removeOldTmp(paths);
  const format = await readSmall(paths.format);
  if (format !== null) return checkFormat(paths, format);
  for (const instance of instances) {
    await mkdir(join(paths.devices, instance.id), { recursive: true });
    await createWhole(paths, join(paths.instances, `${instance.id}.json`), instance);
  }
  await writeFile(join(paths.tmp, 'format'), '1\n');
  await rename(join(paths.tmp, 'format'), paths.format);
}

function checkFormat(paths: SimulatedPaths, format: string): void {
  if (format.trim() === '1') return;
  throw new Error(
    `${paths.format} says ${JSON.stringify(format.trim())}, this release reads format 1: use another folder or release.`,
  );
}

async function removeOldTmp(paths: SimulatedPaths): Promise<void> {
  for (const name of await readdir(paths.tmp)) {
    const file = join(paths.tmp, name);
    const found = await stat(file).catch(() => null);
    if (found !== null && Date.now() - found.mtimeMs > simulatedLimits.tmpAgeMsMax) {
      await rm(file, { force: true });
    }
  }
}

let written = 0;

/** Creates the file with its whole content, or leaves the one that is there. @returns whether it was created. */
export async function createWhole(
  paths: SimulatedPaths,
  file: string,
  content: unknown,
): Promise<boolean> {
  written += 1;
  const draft = join(paths.tmp, `${process.pid}-${written}`);
  await writeFile(draft, `${JSON.stringify(content)}\n`);
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  } finally {
    await unlink(draft);
  }
}

/** The text of a small file; null when there is none. Longer content is cut (and then fails to parse). */
export async function readSmall(file: string): Promise<string | null> {
  let handle;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null;
    throw error;
  }
  try {
    const buffer = Buffer.alloc(simulatedLimits.fileBytesMax);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** @returns null when there is no such instance, `'broken'` when its file is not what it should be. */
export async function readInstance(
  paths: SimulatedPaths,
  id: string,
): Promise<InstanceFile | 'broken' | null> {
  const text = await readSmall(join(paths.instances, `${id}.json`));
  if (text === null) return null;
  try {
    const instance = Value.Parse(InstanceFileSchema, JSON.parse(text));
    return instance.id === id ? instance : 'broken';
  } catch {
    return 'broken';
  }
}

/** @returns the PCI function that a device's file is about; undefined when it is about none, or is broken or gone. */
export async function readDeviceAddress(file: string): Promise<string | undefined> {
  const text = await readSmall(file);
  if (text === null) return undefined;
  try {
    const { address } = Value.Parse(FunctionFileSchema, JSON.parse(text)).plan;
    return isFunctionAddress(address) ? address : undefined;
  } catch {
    return undefined;
  }
}
