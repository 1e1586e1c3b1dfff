/**
 * The time after an update in which the version that ran before is still remembered: one that keeps dying in it is left
 * again for that one, by the agent itself. On disk, so that an agent that dies meanwhile goes on with it.
 */
import type { DesiredInstallation } from '@cyborg/api-spec/agent/desired';
import type { Clock } from '@cyborg/service/clock';
import { agentDefaults } from '../limits.ts';
import type { RunningDrivers, VersionOnDisk } from '../state/running-drivers.ts';

export interface ProbationDeps {
  readonly clock: Clock;
  readonly runningDrivers: RunningDrivers;
}

export class Probation {
  readonly #deps: ProbationDeps;
  #brokenReason: string | undefined;

  constructor(deps: ProbationDeps) {
    this.#deps = deps;
  }

  /** The wanted version runs; `before`: another one did until now. */
  async begin(wanted: DesiredInstallation, before: VersionOnDisk | undefined): Promise<void> {
    const { clock, runningDrivers } = this.#deps;
    const now = onDisk(wanted);
    const known = runningDrivers.find(wanted.driver_id);
    const wasRunning = known !== undefined && isSameVersion(known, now);
    const previous =
      before === undefined
        ? wasRunning
          ? known.previous
          : undefined
        : {
            ...before,
            until: new Date(clock.now().getTime() + agentDefaults.probationMs).toISOString(),
          };
    await runningDrivers.put(wanted.driver_id, { ...now, ...(previous && { previous }) });
  }

  /** A driver of this version is in quarantine. @returns whether it is to be left. */
  fail(wanted: DesiredInstallation, reason: string): boolean {
    if (this.#previousOf(wanted) === undefined) return false;
    this.#brokenReason = reason;
    return true;
  }

  /** Where to go back to, and why. */
  find(
    wanted: DesiredInstallation,
  ): { readonly previous: VersionOnDisk; readonly reason: string } | undefined {
    const reason = this.#brokenReason;
    const previous = this.#previousOf(wanted);
    return reason === undefined || previous === undefined ? undefined : { previous, reason };
  }

  /** It runs again: the wanted one is not tried any more until it is wanted anew. */
  async end(wanted: DesiredInstallation, previous: VersionOnDisk, reason: string): Promise<void> {
    this.#brokenReason = undefined;
    const left = { ...onDisk(wanted), generation: wanted.generation, reason };
    const { version, package: kept } = previous;
    await this.#deps.runningDrivers.put(wanted.driver_id, { version, package: kept, left });
  }

  giveUp(): void {
    this.#brokenReason = undefined;
  }

  /** Why this wish is not tried again; undefined: it may be. */
  refusalOf(wanted: DesiredInstallation): string | undefined {
    const left = this.#deps.runningDrivers.find(wanted.driver_id)?.left;
    if (left === undefined || left.generation !== wanted.generation) return undefined;
    return isSameVersion(left, onDisk(wanted)) ? left.reason : undefined;
  }

  #previousOf(wanted: DesiredInstallation): VersionOnDisk | undefined {
    const { clock, runningDrivers } = this.#deps;
    const known = runningDrivers.find(wanted.driver_id);
    const previous = known?.previous;
    if (known === undefined || previous === undefined) return undefined;
    const isOver = clock.now() >= new Date(previous.until);
    return isOver || !isSameVersion(known, onDisk(wanted)) ? undefined : previous;
  }
}

export function onDisk({ version, package: ordered }: DesiredInstallation): VersionOnDisk {
  return { version, package: ordered ?? null };
}

export function isSameVersion(a: VersionOnDisk, b: VersionOnDisk): boolean {
  return a.version === b.version && a.package?.digest === b.package?.digest;
}
