/** Programs in a root folder: started, waited for, stopped. */
import { execFileSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

const readyTimeLimitMs = 240_000;
const stopTimeLimitMs = 90_000;
const started = Date.now();

export const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
export const url = 'http://127.0.0.1:6680';
export const password = 'a-password-for-this-try';

const asAdmin = {
  PATH: searchPath,
  OS_AUTH_TYPE: 'http_basic',
  OS_ENDPOINT: url,
  OS_USERNAME: 'admin',
  OS_PASSWORD: password,
};

export function say(what: string): void {
  console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${what}`);
}

/** @returns what it wrote to stdout; throws when it fails. */
export function inside(root: string, command: readonly string[], input = ''): string {
  return execFileSync('chroot', [root, ...command], {
    encoding: 'utf8',
    env: asAdmin,
    input,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
}

export async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  const end = Date.now() + readyTimeLimitMs;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${readyTimeLimitMs / 1000} s.`);
    await delay(200);
  }
  say(what);
}

/** Ready, and with a console. */
export async function untilServed(server: ChildProcess): Promise<void> {
  await until('the server is ready', async () => {
    if (server.exitCode !== null) throw new Error(`cyborg-server ended with ${server.exitCode}.`);
    return fetch(`${url}/readyz`).then(
      (answer) => answer.ok,
      () => false,
    );
  });
  const page = await fetch(`${url}/console/`);
  if (!(await page.text()).includes('<script')) throw new Error('No console at /console/.');
}

export async function stop(child: ChildProcess, name: string): Promise<void> {
  const ended = once(child, 'exit', { signal: AbortSignal.timeout(stopTimeLimitMs) });
  child.kill('SIGTERM');
  const [code] = await ended;
  if (code !== 0) throw new Error(`${name} ended with ${String(code)} after SIGTERM.`);
  say(`${name} stopped`);
}
