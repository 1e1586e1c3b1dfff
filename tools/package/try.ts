/**
 * `npm run package:try`, as root: installs the packages into a clean root, starts each service by its unit's own command
 * line, and removes them. In namespaces of its own (mounts, processes, network): nothing outlives it. `--from DIR` takes
 * packages that are built already.
 */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { makeCleanRoot } from './clean-root.ts';
import { buildPackages } from './main.ts';
import { recipes } from './recipes.ts';
import { parseUnit, parseVariables } from './unit-file.ts';

const readyTimeLimitMs = 240_000;
const stopTimeLimitMs = 90_000;
const url = 'http://127.0.0.1:6680';
const password = 'a-password-for-this-try';
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const asAdmin = {
  PATH: path,
  OS_AUTH_TYPE: 'http_basic',
  OS_ENDPOINT: url,
  OS_USERNAME: 'admin',
  OS_PASSWORD: password,
};
const started = Date.now();

function say(what: string): void {
  console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${what}`);
}

function inside(root: string, command: readonly string[], input = ''): string {
  return execFileSync('chroot', [root, ...command], {
    encoding: 'utf8',
    env: asAdmin,
    input,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
}

async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  const end = Date.now() + readyTimeLimitMs;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${readyTimeLimitMs / 1000} s.`);
    await delay(200);
  }
  say(what);
}

/** As systemd would: its user, umask, state directory, variables and command line; no capabilities to gain. */
function startUnit(root: string, name: string): ChildProcess {
  const unit = parseUnit(readFileSync(join(root, 'usr/lib/systemd/system', name), 'utf8'));
  const ids = ['-u', '-g'].map((flag) => Number(inside(root, ['id', flag, unit.user ?? 'root'])));
  if (unit.stateDirectory !== undefined) {
    const folder = join(root, 'var/lib', unit.stateDirectory);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chownSync(folder, ids[0] ?? 0, ids[1] ?? 0);
  }
  const file = unit.environmentFile === undefined ? '' : join(root, unit.environmentFile);
  const fromFile = file === '' ? {} : parseVariables(readFileSync(file, 'utf8'));
  const script = `umask ${unit.umask}; exec "$@"`;
  const as = [
    'setpriv',
    '--no-new-privs',
    `--reuid=${ids[0]}`,
    `--regid=${ids[1]}`,
    '--clear-groups',
  ];
  const args = [root, ...as, 'sh', '-c', script, 'sh', ...unit.command];
  say(`start ${name}: ${unit.command.join(' ')}`);
  return spawn('chroot', args, {
    env: { PATH: path, ...unit.environment, ...fromFile },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

async function stop(child: ChildProcess, name: string): Promise<void> {
  const ended = once(child, 'exit', { signal: AbortSignal.timeout(stopTimeLimitMs) });
  child.kill('SIGTERM');
  const [code] = await ended;
  if (code !== 0) throw new Error(`${name} ended with ${String(code)} after SIGTERM.`);
  say(`${name} stopped`);
}

async function run(root: string): Promise<void> {
  inside(
    root,
    [
      'setpriv',
      '--reuid=cyborg',
      '--regid=cyborg',
      '--clear-groups',
      'cyborg-server',
      'user-set',
      'admin',
      '--role',
      'admin',
      '--project',
      'admin',
      '--state-dir',
      '/var/lib/cyborg-server',
      '--password-stdin',
    ],
    `${password}\n`,
  );
  const server = startUnit(root, 'cyborg-server.service');
  await until('the server is ready', async () => {
    if (server.exitCode !== null) throw new Error(`cyborg-server ended with ${server.exitCode}.`);
    return fetch(`${url}/readyz`).then(
      (answer) => answer.ok,
      () => false,
    );
  });
  const console_ = await fetch(`${url}/console/`);
  if (!(await console_.text()).includes('<script')) throw new Error('No console at /console/.');
  const token = inside(root, [
    'cyborg',
    'join-token-create',
    '--host',
    hostname(),
    '-f',
    'value',
    '-c',
    'token',
  ]);
  writeFileSync(join(root, 'etc/cyborg/join-token'), token, { mode: 0o600 });
  const agent = startUnit(root, 'cyborg-agent.service');
  await until('cyborg host-list names the host', () => {
    if (agent.exitCode !== null) throw new Error(`cyborg-agent ended with ${agent.exitCode}.`);
    return inside(root, ['cyborg', 'host-list', '-f', 'json']).includes(JSON.stringify(hostname()));
  });
  inside(root, ['cyborg', 'install-driver', 'generic']);
  await until('a backend of the generic driver is ready', () =>
    inside(root, ['cyborg', 'backend-list', '-f', 'json']).includes('"ready"'),
  );
  console.log(inside(root, ['cyborg', 'host-list']));
  console.log(inside(root, ['cyborg', 'backend-list']));
  inside(root, ['cyborg-inspect', '--help']);
  await stop(agent, 'cyborg-agent');
  await stop(server, 'cyborg-server');
}

/** What an installation may leave: state, and what Debian itself keeps. */
const mayStay =
  /^\.\/(var\/lib\/cyborg-(server|agent)|var\/lib\/dpkg|var\/log|var\/cache|run|tmp|etc\/(passwd|group|shadow|gshadow|subuid|subgid|\.pwd\.lock)-?|etc\/ld\.so\.cache)/;

function listing(root: string): Set<string> {
  const text = execFileSync('find', ['.', '-xdev', '!', '-type', 'd'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  return new Set(text.split('\n').filter((name) => name !== '' && !mayStay.test(name)));
}

function dpkg(root: string, args: readonly string[]): void {
  execFileSync('dpkg', [`--root=${root}`, ...args], {
    env: { PATH: path, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** In the namespaces. */
async function tryIn(root: string, from: string): Promise<void> {
  const depends = recipes.flatMap(({ depends: text }) => text.split(', '));
  const wanted = depends.map((one) => one.replace(/ .*/, ''));
  const names = makeCleanRoot(root, ['systemd', ...wanted]);
  // A mount point: unshare refuses a mount namespace to who is in any other root.
  execFileSync('mount', ['--bind', root, root]);
  for (const folder of ['proc', 'dev'])
    execFileSync('mount', ['--rbind', `/${folder}`, join(root, folder)]);
  execFileSync('mount', ['-t', 'sysfs', 'sysfs', join(root, 'sys')]);
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  say(`a clean root of ${names.length} Debian packages, without Node`);
  const before = listing(root);
  dpkg(root, ['--install', ...globSync(join(from, '*.deb'))]);
  say('installed');
  const units = recipes.flatMap(({ unit }) => unit ?? []);
  execFileSync('systemd-analyze', ['verify', `--root=${root}`, '--man=no', ...units], {
    stdio: 'inherit',
  });
  say(`systemd-analyze verify ${units.join(' ')}`);
  const enabled = globSync(join(root, 'etc/systemd/system/**/cyborg-*'));
  if (enabled.length > 0) throw new Error(`Installing enabled ${enabled.join(', ')}.`);
  await run(root);
  rmSync(join(root, 'etc/cyborg/join-token'));
  const debs = recipes.map(({ debName }) => debName);
  dpkg(root, ['--remove', ...debs]);
  dpkg(root, ['--purge', ...debs]);
  const left = [...listing(root)].filter((name) => !before.has(name));
  if (left.length > 0) throw new Error(`Removing left:\n${left.join('\n')}`);
  say(`removed; left: ${globSync('var/lib/cyborg-*', { cwd: root }).join(', ')}`);
}

const { values } = parseArgs({
  options: { from: { type: 'string' }, 'in-root': { type: 'string' } },
});
if (values['in-root'] !== undefined) {
  await tryIn(values['in-root'], values.from ?? '');
  process.exit(0);
}
const folder = mkdtempSync(join(tmpdir(), 'cyborg-package-try-'));
try {
  const from = values.from === undefined ? join(folder, 'built') : resolve(values.from);
  if (values.from === undefined) buildPackages({ out: from });
  mkdirSync(join(folder, 'root'), { mode: 0o755 });
  execFileSync('chmod', ['755', folder]);
  const own = [
    process.execPath,
    import.meta.filename,
    '--from',
    from,
    '--in-root',
    join(folder, 'root'),
  ];
  const walls = [
    '--mount',
    '--propagation',
    'private',
    '--net',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
  ];
  process.exitCode = spawnSync('unshare', [...walls, ...own], { stdio: 'inherit' }).status ?? 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
