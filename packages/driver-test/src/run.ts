/** Runs the trials on one driver and says how each clause fared. */
import type { DriverPackage } from '@cyborg/driver-host/catalogue';
import type { BackendSpec } from '@cyborg/driver-sdk/protocol';
import { protocolVersion } from '@cyborg/driver-sdk/protocol-constants';
import type { Clock } from '@cyborg/service/clock';
import { messageOf } from '@cyborg/service/node-error';
import manifest from '../package.json' with { type: 'json' };
import { clauses, type ClauseId } from './clauses.ts';
import { Broken, Untested } from './failures.ts';
import type { Journal } from './journal.ts';
import type { Violation } from './judge.ts';
import { Kit, type Trial } from './kit.ts';
import { kitLimits } from './limits.ts';
import { Subject } from './subject.ts';
import { trials } from './trials.ts';
import { unseenKinds } from './unseen.ts';

export type Outcome = 'passed' | 'failed' | 'untested' | 'not-run';

export interface ClauseReport {
  readonly clause: ClauseId;
  readonly text: string;
  readonly outcome: Outcome;
  /** Why it failed, was not tested or not run; null when it passed. */
  readonly detail: string | null;
  readonly duration_ms: number;
}

export interface Report {
  /** Of this file's form. */
  readonly cyborg_driver_report: 1;
  readonly kit: { readonly version: string; readonly protocol: string };
  readonly driver: { readonly id: string; readonly version: string };
  /** The package whose content was tried; null for a folder, which is not what would be uploaded. */
  readonly package: { readonly digest: string } | null;
  /** The clauses that were asked for; empty = all. */
  readonly only: readonly ClauseId[];
  readonly backends: readonly string[];
  /** Kinds that were not tried, and why. */
  readonly left_out: readonly string[];
  readonly seed: number;
  readonly duration_ms: number;
  readonly passed: boolean;
  readonly clauses: readonly ClauseReport[];
}

export interface RunOptions {
  readonly pkg: DriverPackage;
  /** Of the tarball that `pkg` was unpacked from. */
  readonly digest?: string | undefined;
  readonly clock: Clock;
  readonly journal: Journal;
  /** Of what is random: the same seed tries the same. */
  readonly seed: number;
  readonly callMs?: number | undefined;
  /** In place of `kitLimits.runMsMax`. */
  readonly runMs?: number;
  readonly backends?: readonly BackendSpec[] | undefined;
  readonly tree?: string | undefined;
  /** A program image that its cards take. */
  readonly image?: string | undefined;
  /** These alone, and what they need. */
  readonly only?: readonly ClauseId[] | undefined;
  /** Told as it becomes known; a later violation may still fail the clause. */
  readonly onClause?: (report: ClauseReport) => void;
}

/** @throws when this machine cannot run the kit at all. What the driver does wrong is in the report. */
export async function runTrials(options: RunOptions): Promise<Report> {
  const { pkg, digest, clock, seed, only = [] } = options;
  const startMs = clock.monotonicMs();
  const run = new Run(options);
  const subject = await Subject.open({
    ...options,
    callMs: options.callMs ?? kitLimits.callMsMax,
    onViolation: (violation) => run.blame(violation),
  });
  try {
    // A driver that cannot even be greeted fails its first trial, which says so.
    await subject.chooseBackends().catch(() => undefined);
    const kit = new Kit(subject, seed);
    await run.all(kit);
    const { asked, backends } = subject;
    subject.leftOut.push(...unseenKinds({ asked, backends, offered: kit.offered }));
  } finally {
    await subject.close();
  }
  const reports = run.reports();
  return {
    cyborg_driver_report: 1,
    kit: { version: manifest.version, protocol: protocolVersion },
    driver: { id: pkg.id, version: pkg.version },
    package: digest === undefined ? null : { digest },
    only,
    backends: subject.backends.map(({ name, kind }) => `${name} (${kind})`),
    left_out: subject.leftOut,
    seed,
    duration_ms: Math.round(clock.monotonicMs() - startMs),
    passed: reports.every(({ outcome }) => outcome === 'passed' || outcome === 'untested'),
    clauses: reports,
  };
}

class Run {
  readonly #options: RunOptions;
  readonly #reports = new Map<ClauseId, ClauseReport>();
  readonly #violations = new Map<ClauseId, string>();

  constructor(options: RunOptions) {
    this.#options = options;
  }

  blame({ clause, detail }: Violation): void {
    if (!this.#violations.has(clause)) this.#violations.set(clause, detail);
  }

  async all(kit: Kit): Promise<void> {
    const endMs = this.#options.clock.monotonicMs() + (this.#options.runMs ?? kitLimits.runMsMax);
    for (const trial of chosenTrials(this.#options.only)) {
      const fromMs = this.#options.clock.monotonicMs();
      const late = fromMs > endMs ? 'the time for a run was up' : undefined;
      const [outcome, detail] = await this.#try(kit, trial, late);
      const report = {
        clause: trial.clause,
        text: clauses[trial.clause],
        outcome,
        detail,
        duration_ms: Math.round(this.#options.clock.monotonicMs() - fromMs),
      };
      this.#reports.set(trial.clause, report);
      this.#options.onClause?.(report);
    }
  }

  async #try(
    kit: Kit,
    trial: Trial,
    late: string | undefined,
  ): Promise<[Outcome, detail: string | null]> {
    const broken = (trial.needs ?? []).find((need) => !this.#holds(need));
    if (broken !== undefined) return ['not-run', `needs ${broken}`];
    if (late !== undefined) return ['not-run', late];
    try {
      await trial.run(kit);
      return ['passed', null];
    } catch (error) {
      if (error instanceof Untested) return ['untested', error.message];
      const blamed = error instanceof Broken ? error.clause : undefined;
      if (blamed === undefined || blamed === trial.clause) return ['failed', messageOf(error)];
      this.blame({ clause: blamed, detail: messageOf(error) });
      return ['not-run', `stopped by ${blamed}`];
    }
  }

  #holds(clause: ClauseId): boolean {
    const outcome = this.#reports.get(clause)?.outcome;
    const isFine = outcome === 'passed' || outcome === 'untested';
    return isFine && !this.#violations.has(clause);
  }

  /** In the order of the page, with what was seen aside of the clause's own trial. */
  reports(): ClauseReport[] {
    return [...this.#reports.values()]
      .map((report) => {
        const detail = this.#violations.get(report.clause);
        return detail === undefined || report.outcome === 'failed'
          ? report
          : { ...report, outcome: 'failed' as const, detail };
      })
      .map((report) => ({ ...report, detail: cut(report.detail) }))
      .toSorted((a, b) => order.indexOf(a.clause) - order.indexOf(b.clause));
  }
}

const order = Object.keys(clauses);

/** A driver's own words may be as long as a frame, and hold what no database takes. */
function cut(detail: string | null): string | null {
  if (detail === null) return null;
  const { detailCharsMax } = kitLimits;
  const short =
    detail.length <= detailCharsMax ? detail : `${detail.slice(0, detailCharsMax - 1)}…`;
  return short.toWellFormed().replaceAll('\u0000', '\uFFFD');
}

function chosenTrials(only: readonly ClauseId[] | undefined): readonly Trial[] {
  if (only === undefined || only.length === 0) return trials;
  const wanted = new Set<ClauseId>(only);
  // What a trial needs stands before it.
  for (const trial of trials.toReversed()) {
    if (wanted.has(trial.clause)) for (const need of trial.needs ?? []) wanted.add(need);
  }
  return trials.filter(({ clause }) => wanted.has(clause));
}
