/** vitest's global set-up of the project `lab`: brings the lab up with this checkout's programs in it, and down again. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import type { TestProject } from 'vitest/node';

import { checkout, writeBundles } from './bundle.ts';

const run = promisify(execFile);
const scripts = join(checkout, 'labs/pci');
const upMinutes = 15;
/** The machine ends itself after so long, whatever became of us. */
const lifetimeSeconds = process.env['CYBORG_TEST_LAB_FULL'] === 'yes' ? 6 * 3600 : 3600;

/** CYBORG_TEST_LAB names a lab that is up already and stays up: while one writes tests, it saves a boot each time. */
export async function setup({ provide }: TestProject): Promise<(() => Promise<void>) | undefined> {
  const missing = whyNot();
  provide('labMissing', missing ?? null);
  const own = process.env['CYBORG_TEST_LAB'];
  const name = own ?? `test-${process.pid}`;
  const folder = `/tmp/cyborg-pci-${process.getuid?.() ?? 0}-${name}`;
  provide('lab', { name, folder });
  if (missing !== undefined) {
    if (process.env['CI'] === 'true' && process.env['CYBORG_TEST_LAB_REQUIRED'] === 'yes') {
      throw new Error(`The tests need the PCI lab, and it does not run here: ${missing}`);
    }
    return undefined;
  }
  const env = { ...process.env, LAB_NAME: name, LAB_RUN: folder };
  const lab = (script: string, args: readonly string[] = []): Promise<unknown> =>
    run(join(scripts, script), args, { env, timeout: upMinutes * 60_000 });
  if (own === undefined) {
    await lab('install-packages');
    const memory = { LAB_MEM: '3072', LAB_MAX: String(lifetimeSeconds) };
    await run(join(scripts, 'up'), [], {
      env: { ...env, ...memory },
      timeout: upMinutes * 60_000,
    });
  }
  await writeBundles(join(folder, 'x/cyborg'));
  return own === undefined ? async () => void (await lab('down')) : undefined;
}

const how = 'npm run test:lab as root on Debian 12 runs them (labs/pci/README.md)';

function whyNot(): string | undefined {
  if (
    process.platform !== 'linux' ||
    process.arch !== 'x64' ||
    !existsSync('/etc/debian_version')
  ) {
    return `the PCI lab is made of Debian's packages for x86-64: ${how}`;
  }
  if (process.getuid?.() !== 0) return `the PCI lab runs as root: ${how}`;
  if (!existsSync('/usr/bin/apt-get')) return `there is no apt-get to install QEMU with: ${how}`;
  return undefined;
}
