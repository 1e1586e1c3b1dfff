/** Writes the folder of a new driver: the template with its name in it, and, for Node, the SDK that it imports. */
import { cp, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { basename, dirname, join } from 'node:path';

import { buildSdk, sdkPackage } from '@cyborg/driver-sdk/build';

type Runtime = 'node' | 'python3';

const templates: Readonly<Record<Runtime, string>> = {
  node: join(import.meta.dirname, '..', 'template'),
  python3: join(import.meta.dirname, '..', 'template-python'),
};

/** Of the SDK's dependencies the one that it has at run time; typebox makes its types and schemas. */
const neededAtRunTime = 'vscode-jsonrpc';

/**
 * @param name  the driver's id, checked.
 * @param target  its folder must not exist; there is all of it or nothing.
 * @throws Error when a file cannot be written (with its `path`), or the SDK not be built.
 */
export async function makeDriver(
  name: string,
  { folder, runtime }: { readonly folder: string; readonly runtime: Runtime },
): Promise<void> {
  const fresh = join(dirname(folder), `.${basename(folder)}-${process.pid}`);
  try {
    await mkdir(dirname(folder), { recursive: true });
    const words = runtime === 'node' ? await addSdk(join(fresh, 'node_modules')) : {};
    const change = (text: string): string => replaceAll(text, { ...words, DRIVER_NAME: name });
    await copyTemplate(templates[runtime], fresh, change);
    await rename(fresh, folder);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

function jsonRpcFolder(): string {
  const manifest = findPackageJSON(neededAtRunTime, join(sdkPackage, 'package.json'));
  if (manifest === undefined) throw new Error(`${neededAtRunTime} is not installed: run npm ci`);
  return dirname(manifest);
}

/** @returns what the template says of it. */
async function addSdk(modules: string): Promise<Readonly<Record<string, string>>> {
  buildSdk();
  await cp(sdkPackage, join(modules, '@cyborg', 'driver-sdk'), { recursive: true });
  await cp(jsonRpcFolder(), join(modules, neededAtRunTime), { recursive: true });
  return {
    SDK_VERSION: await versionOf(sdkPackage),
    JSONRPC_VERSION: await versionOf(jsonRpcFolder()),
  };
}

async function versionOf(folder: string): Promise<string> {
  const content: unknown = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const isVersioned = typeof content === 'object' && content !== null && 'version' in content;
  return isVersioned ? String(content.version) : '0.0.0';
}

function replaceAll(text: string, words: Readonly<Record<string, string>>): string {
  return Object.entries(words).reduce((done, [word, value]) => done.replaceAll(word, value), text);
}

async function copyTemplate(
  from: string,
  to: string,
  change: (text: string) => string,
): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyTemplate(source, target, change);
    else await writeFile(target, change(await readFile(source, 'utf8')));
  }
}
