/** Whether this server can serve: asked by load balancers, by `npm start` and by tests. */
export interface ReadinessCheck {
  readonly name: string;
  /** Undefined when it is well, else what is missing. */
  readonly check: () => Promise<string | undefined>;
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
          return { name, problem };
        }),
      );
      return {
        ready: results.every(({ problem }) => problem === undefined),
        checks: Object.fromEntries(results.map(({ name, problem }) => [name, problem ?? 'ok'])),
      };
    },
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
