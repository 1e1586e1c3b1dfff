/**
 * Keeps what was read of the cards across restarts of the driver: a serial number that only a kernel driver can read is
 * not to be had while the card is a guest's, and without it the card would be another one.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DriverContext } from '@cyborg/driver-sdk/define-driver';
import type { KnownIdentities } from './identity.ts';

type Context = Pick<DriverContext, 'stateDir' | 'roots' | 'simulated'> & {
  readonly backend: string;
};

/** Valid for one run of the kernel: after that, cards may have been swapped. */
interface Content {
  readonly boot: string;
  readonly known: KnownIdentities;
}

export async function readKnown(context: Context): Promise<KnownIdentities> {
  const path = pathOf(context);
  if (path === undefined) return {};
  try {
    const content = JSON.parse(await readFile(path, 'utf8')) as Content; // our own file
    return content.boot === (await bootOf(context)) ? content.known : {};
  } catch {
    return {}; // read anew from the cards
  }
}

export async function writeKnown(context: Context, known: KnownIdentities): Promise<void> {
  const path = pathOf(context);
  if (path === undefined) return;
  const content: Content = { boot: await bootOf(context), known };
  await writeFile(`${path}.new`, JSON.stringify(content));
  await rename(`${path}.new`, path);
}

function pathOf({ stateDir, simulated, backend }: Context): string | undefined {
  if (stateDir === null || simulated) return undefined;
  return join(stateDir, `cards-${encodeURIComponent(backend)}.json`);
}

async function bootOf({ roots }: Context): Promise<string> {
  return (await readFile(join(roots.proc, 'sys/kernel/random/boot_id'), 'utf8')).trim();
}
