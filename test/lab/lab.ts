/** The lab of labs/pci, driven from outside: commands inside, cards that come and go, the consoles of its guests. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { systemClock } from '@cyborg/service/clock';
import { hasCode } from '@cyborg/service/node-error';
import { eventually } from '@cyborg/testing/processes';
import { beforeEach, inject } from 'vitest';

import { checkout } from './bundle.ts';

const scripts = join(checkout, 'labs/pci');
/** From SIGTERM to SIGKILL. */
const graceMs = 15_000;
/** An emulated processor that shares two cores with everything else. */
export const patientMs = 300_000;

declare module 'vitest' {
  export interface ProvidedContext {
    /** Why the lab does not run here; null when it does. */
    labMissing: string | null;
    /** Name of each, and its folder on this machine. */
    labs: readonly { readonly name: string; readonly folder: string }[];
  }
}

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Skips the tests of a file, with the reason, where the lab does not run. */
export function needsLab(): void {
  beforeEach(({ skip }) => {
    const missing = inject('labMissing');
    skip(missing !== null, missing ?? '');
  });
}

/** `npm run test:lab -- --full` */
export const isFullRun = process.env['CYBORG_TEST_LAB_FULL'] === 'yes';

export class Lab {
  readonly name: string;
  /** What the machine knows as /lab/x is the folder x in it. */
  readonly folder: string;

  constructor({ name, folder }: { name: string; folder: string }) {
    this.name = name;
    this.folder = folder;
  }

  /** The one that this file of tests has to itself. */
  static current(): Lab {
    const labs = inject('labs');
    const given = labs[(Number(process.env['VITEST_POOL_ID'] ?? '1') - 1) % labs.length];
    if (given === undefined) throw new Error('The set-up brought up no lab.');
    return new Lab(given);
  }

  /** A command of labs/pci. @throws with what it said when it fails. */
  async command(
    script: string,
    args: readonly string[] = [],
    timeoutMs = patientMs,
  ): Promise<string> {
    const { status, stdout, stderr } = await this.try(script, args, { timeoutMs });
    if (status === 0) return stdout;
    throw new Error(`labs/pci/${script} ${args.join(' ')}: exit ${status}\n${stdout}\n${stderr}`);
  }

  /** Past its time it is ended with all that it started: its exit status is 125 then, and it says so. */
  async try(
    script: string,
    args: readonly string[],
    { timeoutMs = patientMs, env = {} }: { timeoutMs?: number; env?: NodeJS.ProcessEnv } = {},
  ): Promise<Outcome> {
    const child = spawn(join(scripts, script), args, {
      env: { ...this.#environment(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const ended = once(child, 'close').then(([code]: unknown[]) => code);
    const output = Promise.all([text(child.stdout), text(child.stderr)]);
    using _asked = systemClock.setTimer(timeoutMs, () => endGroup(child, 'SIGTERM'));
    using _forced = systemClock.setTimer(timeoutMs + graceMs, () => endGroup(child, 'SIGKILL'));
    const startedMs = systemClock.monotonicMs();
    const [code, [stdout, stderr]] = await Promise.all([ended, output]);
    if (systemClock.monotonicMs() - startedMs < timeoutMs && typeof code === 'number') {
      return { status: code, stdout, stderr };
    }
    return { status: 125, stdout, stderr: `${stderr}\nnot done within ${timeoutMs} ms` };
  }

  /** A line of bash inside, as root. @returns what it printed. @throws when it fails. */
  async run(line: string, timeoutMs = patientMs): Promise<string> {
    return await this.command('run', runArguments(line, timeoutMs), timeoutMs + 60_000);
  }

  async tryRun(line: string, timeoutMs = patientMs): Promise<Outcome> {
    return await this.try('run', runArguments(line, timeoutMs), { timeoutMs: timeoutMs + 60_000 });
  }

  /** Starts a line of bash inside and returns at once; ending this process ends it. */
  start(line: string): ChildProcess {
    return spawn(join(scripts, 'run'), runArguments(line, 20 * 3600_000), {
      env: this.#environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  async plug(kind: string, port: string, { id, serial }: Card = {}): Promise<void> {
    const env = serial === undefined ? {} : { SERIAL: serial };
    const args = [kind, port, ...(id === undefined ? [] : [id])];
    const { status, stderr } = await this.try('plug', args, { env });
    if (status !== 0) throw new Error(`labs/pci/plug ${args.join(' ')}: ${stderr}`);
  }

  async unplug(id: string): Promise<void> {
    await this.command('unplug', [id, '--timeout', String(patientMs / 1000)], patientMs * 2);
  }

  async qmp(command: string, args: object = {}): Promise<unknown> {
    return JSON.parse(await this.command('qmp', [command, JSON.stringify(args)]));
  }

  /** Every process in it ends, and everything that was written elsewhere than to /lab/state is gone. */
  async reboot({ hard = false } = {}): Promise<void> {
    const args = [...(hard ? ['--hard'] : []), '--timeout', String((2 * patientMs) / 1000)];
    await this.command('reboot', args, 3 * patientMs);
  }

  /** What came in on 10.0.2.100:6680 goes to this port of our loopback. */
  forwardTo(port: number): void {
    writeFileSync(join(this.folder, 'server-port'), String(port));
  }

  /** Whole lines of a file that something inside writes to /lab/x/out. */
  lines(file: string): string[] {
    const path = join(this.folder, 'x/out', file);
    return existsSync(path) ? readFileSync(path, 'utf8').split(/\r?\n/).slice(0, -1) : [];
  }

  /** Waits for a line after the first `since` lines. */
  async says(
    file: string,
    pattern: RegExp,
    { since = 0, timeoutMs = patientMs } = {},
  ): Promise<string> {
    return await eventually(
      () =>
        this.lines(file)
          .slice(since)
          .find((text) => pattern.test(text)),
      {
        timeoutMs,
        pauseMs: 100,
        what: `${file} says ${pattern}`,
        context: () => this.lines(file).slice(-20).join('\n'),
      },
    );
  }

  #environment(): NodeJS.ProcessEnv {
    return { ...process.env, LAB_NAME: this.name, LAB_RUN: this.folder };
  }
}

interface Card {
  readonly id?: string;
  /** Of an NVMe: the same card in another port has the same. */
  readonly serial?: string;
}

function runArguments(line: string, timeoutMs: number): string[] {
  const limits = ['--timeout', String(Math.ceil(timeoutMs / 1000)), '--cwd', '/', '--warm'];
  return [...limits, '--', 'bash', '-o', 'pipefail', '-c', line];
}

/** A process that leads its own group, and all that it started there; it may have ended before them. */
function endGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error;
  }
}
