import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { systemClock } from '@cyborg/service/clock';
import { isRunning } from '@cyborg/store/embedded/processes';
import { until } from '@cyborg/store/embedded/until';
import Type from 'typebox';
import { Value } from 'typebox/value';

/** A folder of the test's own (0700), removed with everything in it. */
export function makeTempFolder(parent: string = tmpdir()): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(parent, 'cyborg-test-'));
  return {
    path,
    // What was ended hard may still be writing: its database ends by itself.
    [Symbol.dispose]: () =>
      rmSync(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }),
  };
}

const postgresEndTimeoutMs = 60_000;
const lastWordsMs = 500;

const Report = Type.Object({
  pid: Type.Optional(Type.Integer()),
  url: Type.Optional(Type.String()),
  reason: Type.Optional(Type.String()),
  message: Type.Optional(Type.String()),
});

/** A process that runs the embedded database of a directory, as a server does. */
export interface PostgresProgram extends AsyncDisposable {
  readonly child: ChildProcess;
  /** What it printed: a database's `pid` and `url`, or why there is none. */
  readonly report: Type.Static<typeof Report>;
}

export interface PostgresProgramOptions {
  /** Goes before the program: `['setpriv', '--reuid', …]`. */
  readonly prefix?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts `postgres-program.ts` and waits for its report; disposing it kills it. */
export async function startPostgresProgram(
  directory: string,
  { prefix = [], env = process.env }: PostgresProgramOptions = {},
): Promise<PostgresProgram> {
  const program = join(import.meta.dirname, 'postgres-program.ts');
  const [command = '', ...args] = [...prefix, process.execPath, program, directory].values();
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' });
  const lines = createInterface({ input: child.stdout });
  const line = await new Promise<string>((resolve, reject) => {
    lines.once('line', resolve);
    child.once('error', reject);
    // Its report may still be in the pipe.
    child.once('exit', (status) => {
      systemClock.setTimer(lastWordsMs, () =>
        reject(new Error(`the program ended with ${status} and no report`)),
      );
    });
  });
  const report = Value.Parse(Report, JSON.parse(line));
  return {
    child,
    report,
    async [Symbol.asyncDispose](): Promise<void> {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise((resolve) => {
          child.once('exit', resolve);
        });
        child.kill('SIGKILL');
        await ended;
      }
      // Its PostgreSQL ends with it, and writes into the folder until then.
      const { pid = 0 } = report;
      await until(() => !isRunning(pid), { clock: systemClock, timeoutMs: postgresEndTimeoutMs });
    },
  };
}
