/** vitest's global set-up of the project `lab`: brings labs up with this checkout's programs in them, and down again. */
import { execFile } from 'node:child_process';
import { cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import type { TestProject } from 'vitest/node';

import { checkout, writeBundles } from './bundle.ts';
import { labNames, memoryMiB } from './names.ts';

const run = promisify(execFile);
const scripts = join(checkout, 'labs/pci');
const upMinutes = 15;
/** The machine ends itself after so long, whatever became of us. */
const lifetimeSeconds = process.env['CYBORG_TEST_LAB_FULL'] === 'yes' ? 6 * 3600 : 2 * 3600;

export async function setup({ provide }: TestProject): Promise<(() => Promise<void>) | undefined> {
  const missing = whyNot();
  provide('labMissing', missing ?? null);
  const { names, areKept } = labNames();
  const labs = names.map((name) => ({
    name,
    folder: `/tmp/cyborg-pci-${process.getuid?.() ?? 0}-${name}`,
  }));
  provide('labs', labs);
  if (missing !== undefined) {
    if (process.env['CI'] === 'true' && process.env['CYBORG_TEST_LAB_REQUIRED'] === 'yes') {
      throw new Error(`The tests need the PCI lab, and it does not run here: ${missing}`);
    }
    return undefined;
  }
  const each = async (script: string): Promise<void> => {
    await Promise.all(labs.map(async (lab) => await inLab(lab, script)));
  };
  if (!areKept) {
    await run(join(scripts, 'install-packages'));
    await run(join(scripts, 'build'), { timeout: upMinutes * 60_000 });
    await each('up');
  }
  const [first = '', ...others] = labs.map(({ folder }) => join(folder, 'x/cyborg'));
  await writeBundles(first);
  for (const other of others) cpSync(first, other, { recursive: true });
  return areKept ? undefined : async () => await each('down');
}

async function inLab(
  { name, folder }: { readonly name: string; readonly folder: string },
  script: string,
): Promise<void> {
  const lab = { LAB_NAME: name, LAB_RUN: folder, LAB_MEM: String(memoryMiB) };
  const env = { ...process.env, ...lab, LAB_MAX: String(lifetimeSeconds) };
  await run(join(scripts, script), [], { env, timeout: upMinutes * 60_000 });
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
