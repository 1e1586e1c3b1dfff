/** The last lines of one driver on this host, for people who are not on it: bounded, and without secrets. */
import { driverLogLimits, type DriverLogLine } from '@cyborg/api-spec/driver-log';
import { plainLine, redact, secretsIn } from '@cyborg/driver-host/redact';
import type { Clock } from '@cyborg/service/clock';

export interface DriverLogDeps {
  readonly clock: Clock;
  readonly onLine: () => void;
}

/** More than is shown of a line, so that a cut does not part a secret from its name. */
const keptCharactersMax = 2_000;
const secretsMax = 256;

export class DriverLog {
  readonly #deps: DriverLogDeps;
  readonly #kept: DriverLogLine[] = [];
  #secrets: string[] = [];

  constructor(deps: DriverLogDeps) {
    this.#deps = deps;
  }

  /** Oldest first. Made when somebody looks: a driver may write a thousand lines in between. */
  lines(): DriverLogLine[] {
    const { lineCharactersMax } = driverLogLimits;
    return this.#kept
      .map((line) => ({
        ...line,
        message: plainLine(this.redact(line.message), lineCharactersMax),
      }))
      .filter(({ message }) => message !== '');
  }

  add(level: DriverLogLine['level'], text: string): void {
    const message = text.slice(0, keptCharactersMax);
    this.#kept.push({ at: this.#deps.clock.now().toISOString(), level, message });
    if (this.#kept.length > driverLogLimits.linesMax) this.#kept.shift();
    this.#deps.onLine();
  }

  /** What a configuration keeps under telling names is hidden from now on, also when it is changed later. */
  hideSecretsOf(config: unknown): void {
    const known = [...this.#secrets, ...secretsIn(config)];
    this.#secrets = [...new Set(known)].slice(-secretsMax).toSorted((a, b) => b.length - a.length);
  }

  /** The same text without secrets. */
  redact(text: string): string {
    return redact(text, this.#secrets);
  }
}
