import { spawn } from 'node:child_process';

export interface CommandResult {
  /** Exit status; undefined when it was ended by a signal, did not start or took too long. */
  readonly status: number | undefined;
  /** stdout and stderr together, the last 64 KiB. */
  readonly output: string;
}

const outputCharsMax = 64 * 1024;

/** Runs a short command with a clean environment; never rejects. */
export function runCommand(
  argv: readonly string[],
  { timeoutMs, cwd }: { timeoutMs: number; cwd?: string },
): Promise<CommandResult> {
  const [command = '', ...args] = argv;
  return new Promise((resolve) => {
    let output = '';
    const keep = (chunk: string): void => {
      output = (output + chunk).slice(-outputCharsMax);
    };
    const child = spawn(command, args, {
      env: cleanEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      ...(cwd === undefined ? {} : { cwd }),
    });
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    child.on('error', (error) => resolve({ status: undefined, output: error.message }));
    child.on('close', (status) => resolve({ status: status ?? undefined, output: output.trim() }));
  });
}

/** No PG* variable of the caller may change what initdb and postgres do; their messages are in English. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8', TZ: 'UTC' };
}
