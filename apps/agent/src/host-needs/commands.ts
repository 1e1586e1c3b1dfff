/** The host's own programs, each in a process that has a time limit. */
import { execFile } from 'node:child_process';

export interface HostCommands {
  /** Followed by `--` and the name of a module. */
  readonly load: readonly string[];
  /** Followed by the name of a module. */
  readonly unload: readonly string[];
  /** Followed by the name of a package; prints its state. */
  readonly deb: readonly string[];
  /** Followed by the name of a package; its status says whether it is installed. */
  readonly rpm: readonly string[];
}

export const hostCommands: HostCommands = {
  load: ['modprobe'],
  unload: ['rmmod'],
  deb: ['dpkg-query', '--show', '--showformat=${db:Status-Status}'],
  rpm: ['rpm', '--query', '--quiet'],
};

const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
const outputBytesMax = 64 * 1024;

export interface Ran {
  /** Of the program; null: it could not be started, or was ended. */
  readonly status: number | null;
  readonly stdout: string;
  /** Why it failed, in one line. */
  readonly failure: string;
}

export function runCommand(
  [program = '', ...first]: readonly string[],
  last: readonly string[],
  timeoutMs: number,
): Promise<Ran> {
  const options = {
    env,
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: outputBytesMax,
  } as const;
  return new Promise((resolve) => {
    execFile(program, [...first, ...last], options, (error, stdout, stderr) => {
      if (error === null) return resolve({ status: 0, stdout, failure: '' });
      const status = typeof error.code === 'number' ? error.code : null;
      const why = error.killed === true ? `it did not end within ${timeoutMs} ms` : error.message;
      const said = stderr.trim().replaceAll(/\s*\n\s*/gu, '; ');
      resolve({ status, stdout, failure: said === '' ? why : said });
    });
  });
}
