/**
 * Faults of a simulated hypervisor: files in `faults/`, looked at before every act, so that a test or a person can make
 * it misbehave from outside, in any process. The content is a parameter; remove the file to end the fault.
 *
 *     unavailable            nothing answers: list, plug and unplug throw `unavailable` (content: the reason)
 *     unknown-count          that many more instances did not answer, ids not known (content: a number)
 *     <fault>                for all instances, or
 *     <fault>.<uuid>         for one:
 *       unknown              it does not answer: listed in unknownIds, acts on it throw `unavailable`
 *       refuse-plug          plugging is `refused` (content: the reason)
 *       slow-plug            plugging takes this long before the device appears (content: ms)
 *       late-plug-answer     the device appears at once, the answer comes this much later (content: ms)
 *       slow-unplug          unplugging takes this long before the device disappears (content: ms)
 *       late-unplug-answer   the device disappears at once, the answer comes this much later (content: ms)
 *       guest-refuses        after this long unplugging fails with `guest-refuses`; the device stays (content: ms)
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readSmall, type SimulatedPaths } from './files.ts';

export type Fault =
  | 'unknown'
  | 'refuse-plug'
  | 'slow-plug'
  | 'late-plug-answer'
  | 'slow-unplug'
  | 'late-unplug-answer'
  | 'guest-refuses';

export interface Faults {
  /** The reason, or null when it answers. */
  readonly unavailable: string | null;
  readonly unknownCount: number;
  /** The parameter of the fault for this instance, or null when it does not have it. */
  of(fault: Fault, instanceId: string): string | null;
}

const faultFilesMax = 256;

/** @throws the system error when the folder cannot be read. */
export async function readFaults(paths: SimulatedPaths): Promise<Faults> {
  const names = (await readdir(paths.faults)).slice(0, faultFilesMax);
  const faults = new Map<string, string>();
  for (const name of names) {
    const text = await readSmall(join(paths.faults, name));
    if (text !== null) faults.set(name, text.trim());
  }
  return {
    unavailable: faults.get('unavailable') ?? null,
    unknownCount: toNumber(faults.get('unknown-count')),
    of: (fault, instanceId) => faults.get(`${fault}.${instanceId}`) ?? faults.get(fault) ?? null,
  };
}

/** The number in a fault's parameter; 0 when there is none. */
export function toNumber(parameter: string | null | undefined): number {
  const number = Number(parameter ?? 0);
  return Number.isFinite(number) && number > 0 ? number : 0;
}
