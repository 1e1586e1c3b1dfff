/** What runs in the lab, killed and started again. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

import { onTestFinished } from 'vitest';

import { isFullRun, labState } from './lab.ts';

const run = promisify(execFile);
const scripts = join(import.meta.dirname, '../../labs/openstack');
const startMs = 300_000;
const outputBytesMax = 16 * 1024 * 1024;

/** How long something is away in these tests. */
export const outageSeconds = isFullRun ? 60 : 20;

export type LabService =
  | 'keystone'
  | 'placement'
  | 'nova-compute'
  | 'libvirtd'
  | 'cyborg-server'
  | 'cyborg-agent';

/** Some were there before the lab, and are not ours to kill: MariaDB, RabbitMQ, libvirtd. */
export const isOurs = (service: LabService): boolean => existsSync(pidFileOf(service));

const pidFileOf = (service: LabService): string => join(labState, 'run', `${service}.pid`);

/** SIGKILL to all of its processes; it is started again at the test's end, should the test not come to it. */
export function kill(service: LabService): void {
  onTestFinished(() => start(service));
  // The first number is the process's, which leads a group of its own (labs/openstack/lib/processes.sh).
  const [pid] = readFileSync(pidFileOf(service), 'utf8').split(' ');
  process.kill(-Number(pid), 'SIGKILL');
}

/** Starts whatever does not run, and waits until it answers. */
export async function start(service: LabService): Promise<void> {
  const script = service.startsWith('cyborg-') ? 'run-cyborg' : 'up';
  await run(join(scripts, script), [], { timeout: startMs, maxBuffer: outputBytesMax });
}

/** Without this service for as long as the test is about, while `meanwhile` is done. */
export async function without(
  service: LabService,
  meanwhile: () => Promise<unknown>,
): Promise<void> {
  kill(service);
  await Promise.all([meanwhile(), pause(outageSeconds * 1000)]);
  await start(service);
}

/** Another setting of the lab's for the rest of the test: what is configured otherwise is started again. */
export async function configure(settings: Readonly<Record<string, number>>): Promise<void> {
  const up = (env: Readonly<Record<string, number>>): Promise<unknown> =>
    run(join(scripts, 'up'), [], {
      timeout: startMs,
      maxBuffer: outputBytesMax,
      env: {
        ...process.env,
        ...Object.fromEntries(Object.entries(env).map(([k, v]) => [k, `${v}`])),
      },
    });
  onTestFinished(async () => {
    await up(Object.fromEntries(Object.keys(settings).map((name) => [name, 0])));
  });
  await up(settings);
}
