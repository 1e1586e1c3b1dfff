/** An agent as a process of its own: it dies with us, and is started again when it dies alone. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

import { backoffMs } from '@cyborg/service/backoff';
import type { Clock } from '@cyborg/service/clock';
import type { Logger } from '@cyborg/service/logging';
import type { Rng } from '@cyborg/service/rng';

import type { LogFile } from './log-file.ts';

const agentProgram = join(import.meta.dirname, '../../../agent/src/main.ts');
const restartPause = { firstMs: 250, maxMs: 15_000 } as const;
/** After running so long a death counts as the first one. */
const soundMs = 60_000;
/** The agent's own grace and a little more; then it is killed. */
const stopMs = 15_000;

export interface AgentProcessOptions {
  readonly name: string;
  readonly argv: readonly string[];
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly output: LogFile;
}

export interface AgentProcess {
  /** Of the process that runs now. */
  readonly pid: number | undefined;
  stop(): Promise<void>;
}

export function startAgentProcess(options: AgentProcessOptions): AgentProcess {
  const { clock, rng, log, name } = options;
  const stopping = new AbortController();
  let child: ChildProcess | undefined;
  const run = async (): Promise<void> => {
    for (let attempt = 1; !stopping.signal.aborted; attempt += 1) {
      const startedAtMs = clock.monotonicMs();
      child = launch(options);
      const how = await endOf(child);
      if (stopping.signal.aborted) return;
      if (clock.monotonicMs() - startedAtMs >= soundMs) attempt = 1;
      const pauseMs = Math.round(backoffMs(attempt, restartPause, rng));
      log.warn({ agent: name, how, pauseMs }, 'an agent ended; starting it again');
      await clock.sleep(pauseMs, stopping.signal).catch(() => {});
    }
  };
  const ended = run();
  return {
    get pid() {
      return child?.pid;
    },
    async stop() {
      stopping.abort();
      if (child === undefined || !isRunning(child)) return ended;
      child.kill('SIGTERM');
      using _killer = clock.setTimer(stopMs, () => child?.kill('SIGKILL'));
      await ended;
    },
  };
}

/** `detached`: a terminal's Ctrl-C reaches us alone, and we stop our agents in order. */
function launch({ argv, output }: AgentProcessOptions): ChildProcess {
  const [command, ...args] = [...dyingWithUs(), process.execPath, agentProgram, 'run', ...argv];
  const child = spawn(command ?? process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => output.write(text));
  }
  return child;
}

function dyingWithUs(): string[] {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const setpriv = [...folders, '/usr/bin', '/bin']
    .map((folder) => join(folder, 'setpriv'))
    .find((path) => existsSync(path));
  return setpriv === undefined ? [] : [setpriv, '--pdeathsig', 'TERM', '--'];
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null && child.pid !== undefined;
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ?? `status ${code}`));
  });
}
