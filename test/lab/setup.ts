/** vitest's global set-up of the project `lab`: brings labs up with this checkout's programs in them, and down again. */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, readFileSync, readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { parseEnv, promisify } from 'node:util';

import { hasCode } from '@cyborg/service/node-error';
import type { TestProject } from 'vitest/node';

import { checkout, writeBundles } from './bundle.ts';
import { labNames, memoryMiB, runOf } from './names.ts';

const run = promisify(execFile);
const scripts = join(checkout, 'labs/pci');
const upMinutes = 25;
/** Twenty seconds, and several times that on a busy machine. */
const bootSecondsMax = 900;
/** The machine ends itself after so long, whatever became of us. */
const lifetimeSeconds = process.env['CYBORG_TEST_LAB_FULL'] === 'yes' ? 6 * 3600 : 2 * 3600;

interface LabAt {
  readonly name: string;
  readonly folder: string;
}

export async function setup({ provide }: TestProject): Promise<(() => Promise<void>) | undefined> {
  const missing = whyNot();
  provide('labMissing', missing ?? null);
  const { names, areKept } = labNames();
  const labs = names.map(labAt);
  provide('labs', labs);
  if (missing !== undefined) {
    if (process.env['CYBORG_TEST_LAB_REQUIRED'] === 'yes') {
      throw new Error(`The tests need the PCI lab, and it does not run here: ${missing}`);
    }
    process.stderr.write(`lab: all tests are skipped: ${missing}\n`);
    return undefined;
  }
  if (areKept) {
    await fill(labs);
    return undefined;
  }
  await endThoseOfDeadRuns();
  const stopping = new AbortController();
  const down = async (): Promise<void> => await inAll(labs, 'down');
  const unwatch = onSignals(async () => {
    stopping.abort();
    await down();
  });
  try {
    await run(join(scripts, 'install-packages'));
    await run(join(scripts, 'build'), { timeout: upMinutes * 60_000 });
    await inAll(labs, 'up', stopping.signal);
    await fill(labs);
  } catch (error) {
    await down();
    throw error;
  }
  return async () => {
    await down();
    unwatch();
  };
}

const labAt = (name: string): LabAt => ({ name, folder: `/tmp/${prefix}${name}` });
const prefix = `cyborg-pci-${process.getuid?.() ?? 0}-`;

async function fill(labs: readonly LabAt[]): Promise<void> {
  const [first = '', ...others] = labs.map(({ folder }) => join(folder, 'x/cyborg'));
  await writeBundles(first);
  for (const other of others) cpSync(first, other, { recursive: true });
}

/** In all of them, also when it fails in one. */
async function inAll(labs: readonly LabAt[], script: string, signal?: AbortSignal): Promise<void> {
  const each = labs.map(async (lab) => await inLab(lab, script, signal));
  const outcomes = await Promise.allSettled(each);
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

async function inLab(
  { name, folder }: LabAt,
  script: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const lab = { LAB_NAME: name, LAB_RUN: folder, LAB_MEM: String(memoryMiB) };
  const env = { ...process.env, ...lab, LAB_MAX: String(lifetimeSeconds) };
  const args = script === 'up' ? ['--timeout', String(bootSecondsMax)] : [];
  await run(join(scripts, script), args, { env, signal, timeout: upMinutes * 60_000 });
}

/** Labs of runs that were killed: their machines would go on for hours, their folders for good. */
async function endThoseOfDeadRuns(): Promise<void> {
  const names = readdirSync('/tmp').flatMap((entry) =>
    entry.startsWith(prefix) ? [entry.slice(prefix.length)] : [],
  );
  const dead = names.filter((name) => {
    const pid = runOf(name);
    return pid !== undefined && !runs(pid);
  });
  await inAll(dead.map(labAt), 'down');
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !hasCode(error, 'ESRCH');
  }
}

/** In place of vitest's own handlers, which end it without what global set-ups return. @returns what takes it back. */
function onSignals(down: () => Promise<void>): () => void {
  let isAsked = false;
  const handler = (signal: NodeJS.Signals): void => {
    if (isAsked) return; // a terminal tells the whole group, and main.ts passes it on
    isAsked = true;
    const end = (): never => process.exit(128 + constants.signals[signal]);
    void down().then(end, end);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.removeAllListeners(signal).on(signal, handler);
  return () => {
    for (const signal of signals) process.off(signal, handler);
  };
}

const how = 'npm run test:lab as root on Debian 12 runs them (labs/pci/README.md)';

function whyNot(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64' || !isDebian12()) {
    return `the PCI lab is made of Debian 12's packages for x86-64: ${how}`;
  }
  if (process.getuid?.() !== 0) return `the PCI lab runs as root: ${how}`;
  if (!existsSync('/usr/bin/apt-get')) return `there is no apt-get to install QEMU with: ${how}`;
  return undefined;
}

/** What is made from Debian says so in ID_LIKE; its packages are others. */
function isDebian12(): boolean {
  const file = '/etc/os-release';
  if (!existsSync(file)) return false;
  const { ID: id, VERSION_ID: version } = parseEnv(readFileSync(file, 'utf8'));
  return id === 'debian' && version === '12';
}
