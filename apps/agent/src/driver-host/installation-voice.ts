/** What the server is told of one driver on this host: how it fares, and what it said last. */
import type { InstallationReport } from '@cyborg/api-spec/agent/report';
import type { Clock } from '@cyborg/service/clock';

import { agentDefaults } from '../limits.ts';
import { DriverLog } from './driver-log.ts';

type Facts = Omit<InstallationReport, 'state' | 'reason' | 'log'>;

export interface VoiceDeps {
  readonly clock: Clock;
  readonly report: (report: InstallationReport) => void;
  /** As they are now. */
  readonly facts: () => Facts;
}

const reasonCharactersMax = 2048;

export class InstallationVoice {
  readonly log: DriverLog;
  readonly #deps: VoiceDeps;
  #last: InstallationReport | undefined;
  #timer: Disposable | undefined;
  #hasStopped = false;

  constructor(deps: VoiceDeps) {
    this.#deps = deps;
    this.log = new DriverLog({ clock: deps.clock, onLine: () => this.tellSoon() });
  }

  tell(state: InstallationReport['state'], reason: string | null = null): void {
    const said = reason?.slice(0, reasonCharactersMax) ?? null;
    this.#send({ ...this.#deps.facts(), state, reason: said, log: this.log.lines() });
  }

  /** The same state, with what changed beside it. */
  tellLog(): void {
    if (this.#last === undefined) return;
    const { generation, state, reason } = this.#last;
    this.#send({ ...this.#deps.facts(), generation, state, reason, log: this.log.lines() });
  }

  /** Says the last word again. */
  repeat(): void {
    if (this.#last !== undefined) this.#deps.report(this.#last);
  }

  stop(): void {
    this.#hasStopped = true;
    this.#timer?.[Symbol.dispose]();
  }

  /** What changed beside the state, before long. */
  tellSoon(): void {
    if (this.#hasStopped) return;
    const { clock } = this.#deps;
    this.#timer ??= clock.setTimer(agentDefaults.driverLogReportMs, () => this.tellLog());
  }

  #send(report: InstallationReport): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    if (JSON.stringify(report) === JSON.stringify(this.#last)) return;
    this.#last = report;
    this.#deps.report(report);
  }
}
