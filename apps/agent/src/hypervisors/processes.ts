/** Which QEMU processes run on this machine, to tell a dead guest from one whose socket was lost. */
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Clock } from '@cyborg/service/clock';

import { isInstanceId } from './device-name.ts';

export interface ProcessTarget {
  readonly socket: string | null;
  readonly uuid: string | null;
}

export interface QemuProcesses {
  /** Whether a QEMU runs whose command line names this socket or this instance. */
  holds(target: ProcessTarget): boolean;
  /** Its process; undefined unless exactly one is found. */
  pidOf(target: ProcessTarget): number | undefined;
  /** Machines by the `-uuid` of their command line, as libvirt starts them. */
  readonly uuids: readonly string[];
}

export interface ProcessOptions {
  readonly procRoot: string;
  readonly clock: Clock;
}

/** Reading a command line waits for the process's memory lock; a stuck process must not stop the agent. */
const lookMsMax = 2_000;
const qemuPattern = /qemu|kvm/i;

/**
 * @returns a way to look; it answers null when looking took too long, and then nothing may be concluded.
 * While one look is stuck no other starts, so at most one thread waits.
 */
export function processLooker(options: ProcessOptions): () => Promise<QemuProcesses | null> {
  let running: Promise<QemuProcesses | null> | null = null;
  return async () => {
    running ??= look(options.procRoot)
      .catch(() => null)
      .finally(() => {
        running = null;
      });
    const timeout = Promise.withResolvers<null>();
    using _timer = options.clock.setTimer(lookMsMax, () => timeout.resolve(null));
    return await Promise.race([running, timeout.promise]);
  };
}

async function look(procRoot: string): Promise<QemuProcesses> {
  const commands: { readonly pid: number; readonly words: readonly string[] }[] = [];
  for (const pid of await readdir(procRoot)) {
    if (!/^\d+$/.test(pid)) continue;
    const text = await readFile(join(procRoot, pid, 'cmdline'), 'utf8').catch(() => ''); // it ended
    const words = text.split('\0');
    if (qemuPattern.test(basename(words[0] ?? ''))) {
      commands.push({ pid: Number(pid), words });
    }
  }
  const find = (target: ProcessTarget): readonly number[] =>
    commands.filter(({ words }) => words.some((word) => names(word, target))).map(({ pid }) => pid);
  return {
    uuids: commands.flatMap(({ words }) => uuidIn(words)),
    holds: (target) => find(target).length > 0,
    pidOf: (target) => {
      const pids = find(target);
      return pids.length === 1 ? pids[0] : undefined;
    },
  };
}

function uuidIn(words: readonly string[]): readonly string[] {
  const uuid = words[words.indexOf('-uuid') + 1]?.toLowerCase();
  return uuid !== undefined && isInstanceId(uuid) ? [uuid] : [];
}

function names(word: string, target: ProcessTarget): boolean {
  if (target.uuid !== null && word.toLowerCase().includes(target.uuid)) return true;
  if (target.socket === null) return false;
  if (word.includes(target.socket)) return true;
  // A relative path: `unix:demo.sock,server=on`, `path=./demo.sock`.
  const name = basename(target.socket);
  return [':', '=', ':./', '=./'].some((before) => word.includes(before + name));
}
