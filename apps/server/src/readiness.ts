/** Whether this server can serve: asked by load balancers, by `npm start` and by tests. */
export interface ReadinessCheck {
  readonly name: string;
  /** Undefined when it is well, else what is missing; a note is well, with something to know. */
  readonly check: () => Promise<string | undefined | ReadinessNote>;
}

export interface ReadinessNote {
  readonly note: string;
}

export interface ReadinessReport {
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, string>>;
}

export interface Readiness {
  report(): Promise<ReadinessReport>;
  add(check: ReadinessCheck): void;
}

export function makeReadiness(): Readiness {
  const checks: ReadinessCheck[] = [];
  return {
    add: (check) => void checks.push(check),
    async report() {
      const results = await Promise.all(
        checks.map(async ({ name, check }) => {
          const problem = await check().catch((error: unknown) => messageOf(error));
          if (problem === undefined) return { name, isWell: true, text: 'ok' };
          return typeof problem === 'string'
            ? { name, isWell: false, text: problem }
            : { name, isWell: true, text: `ok; ${problem.note}` };
        }),
      );
      return {
        ready: results.every(({ isWell }) => isWell),
        checks: Object.fromEntries(results.map(({ name, text }) => [name, text])),
      };
    },
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
