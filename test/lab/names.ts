/** Which labs the tests use: two side by side where the machine has room for them, a file of tests in each at a time. */
import { availableParallelism, freemem } from 'node:os';
import process from 'node:process';

export const memoryMiB = 3072;
/** Beside a lab's memory: its QEMU, server and database. */
const besideMiB = 1024;
/** A third one on two processors makes each several times as slow: it was tried. */
const labsMax = 2;

interface LabNames {
  readonly names: readonly string[];
  /** They are up already and stay up. */
  readonly areKept: boolean;
}

/** CYBORG_TEST_LAB names a lab that is up: while one writes tests, it saves a boot each time. */
export function labNames(): LabNames {
  const own = process.env['CYBORG_TEST_LAB'];
  if (own !== undefined) return { names: [own], areKept: true };
  const names = Array.from({ length: labCount() }, (_, n) => `test-${process.pid}-${n + 1}`);
  return { names, areKept: false };
}

/** @returns the process whose lab this is; undefined for one that somebody named. */
export function runOf(name: string): number | undefined {
  const [, pid] = /^test-(\d+)-\d+$/.exec(name) ?? [];
  return pid === undefined ? undefined : Number(pid);
}

function labCount(): number {
  const byMemory = Math.floor(freemem() / ((memoryMiB + besideMiB) * 1024 * 1024));
  return Math.max(1, Math.min(labsMax, byMemory, availableParallelism()));
}
