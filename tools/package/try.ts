/**
 * `npm run package:try`, as root: installs the packages into a clean root, starts each service by its unit's own command
 * line, and removes them; in another clean root it does the steps of the Containerfile. In namespaces of its own (mounts,
 * processes, network): nothing outlives it. `--from DIR` takes packages that are built already.
 * Exits with 77 where it cannot run, saying why.
 */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
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
import { parseArgs } from 'node:util';

import { makeCleanRoot } from './clean-root.ts';
import { tryContainer } from './container.ts';
import { inside, password, say, searchPath, stop, until, untilServed } from './in-root.ts';
import { buildPackages } from './main.ts';
import { recipes } from './recipes.ts';
import { parseUnit, parseVariables } from './unit-file.ts';

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
    env: { PATH: searchPath, ...unit.environment, ...fromFile },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
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
  await untilServed(server);
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
  tryNewDriver(root);
  inside(root, ['cyborg-inspect', '--help']);
  await stop(agent, 'cyborg-agent');
  await tryPrepareHeld(root);
  await stop(server, 'cyborg-server');
}

/** As at a start of the host: it ends well, also where nothing is to be done. */
async function tryPrepareHeld(root: string): Promise<void> {
  const prepare = startUnit(root, 'cyborg-agent-prepare.service');
  await until('cyborg-agent-prepare.service has ended', () => prepare.exitCode !== null);
  if (prepare.exitCode !== 0) throw new Error(`It ended with ${prepare.exitCode}.`);
}

/** An author's first steps; the kit starts the driver without privileges, on the Node of the package. */
function tryNewDriver(root: string): void {
  inside(root, ['cyborg', 'driver-new', 'acme', '--dir', '/tmp/acme']);
  inside(root, ['cyborg', 'driver-test', '/tmp/acme', '--clause', 'D-DISC-5']);
  inside(root, ['cyborg', 'driver-pack', '/tmp/acme', '--out', '/tmp/acme-0.1.0.tgz']);
  inside(root, ['cyborg', 'driver-test', '/tmp/acme-0.1.0.tgz', '--clause', 'D-PREP-1']);
  say('a new driver conforms, and so does its package');
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
    env: { PATH: searchPath, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

function mountKernelTrees(root: string): void {
  // A mount point: unshare refuses a mount namespace to who is in any other root.
  execFileSync('mount', ['--bind', root, root]);
  for (const folder of ['proc', 'dev'])
    execFileSync('mount', ['--rbind', `/${folder}`, join(root, folder)]);
  execFileSync('mount', ['-t', 'sysfs', 'sysfs', join(root, 'sys')]);
}

/** What debian:12-slim has: the required packages, and apt. */
async function tryInContainer(root: string, from: string): Promise<void> {
  makeCleanRoot(root, ['apt']);
  mountKernelTrees(root);
  const [archive] = globSync(join(from, 'cyborg-server-*.tar.gz'));
  if (archive === undefined) throw new Error(`${from} has no cyborg-server-….tar.gz.`);
  await tryContainer(root, archive);
}

/** In the namespaces. */
async function tryIn(root: string, from: string): Promise<void> {
  const depends = recipes.flatMap(({ depends: text }) => text.split(', '));
  const wanted = depends.map((one) => one.replace(/ .*/, ''));
  const names = makeCleanRoot(root, ['systemd', ...wanted]);
  mountKernelTrees(root);
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  say(`a clean root of ${names.length} Debian packages, without Node`);
  const before = listing(root);
  dpkg(root, ['--install', ...globSync(join(from, '*.deb'))]);
  say('installed');
  const units = recipes.flatMap(({ unit, otherUnits }) => [
    ...(unit === undefined ? [] : [unit]),
    ...otherUnits,
  ]);
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

function findObstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'it installs packages; run it as root.';
  const mounts = 'mount --bind /usr /usr && mount -t sysfs sysfs /sys && ip link set lo up';
  const { status, stderr, error } = spawnSync('unshare', [...walls, 'sh', '-ec', mounts], {
    encoding: 'utf8',
  });
  if (status === 0) return undefined;
  const why = error?.message ?? stderr.trim();
  return `no namespaces with mounts of their own (unshare: ${why}); run it on a machine or in a container that allows them.`;
}

const { values } = parseArgs({
  options: { from: { type: 'string' }, 'in-root': { type: 'string' } },
});
if (values['in-root'] !== undefined) {
  const from = values.from ?? '';
  await tryIn(join(values['in-root'], 'debian'), from);
  await tryInContainer(join(values['in-root'], 'container'), from);
  process.exit(0);
}
/** As automake's tests say that they cannot run here. */
const cannotRunHere = 77;
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
const obstacle = findObstacle();
if (obstacle !== undefined) {
  console.error(`npm run package:try cannot run here: ${obstacle}`);
  process.exit(cannotRunHere);
}
const folder = mkdtempSync(join(tmpdir(), 'cyborg-package-try-'));
try {
  const from = values.from === undefined ? join(folder, 'built') : resolve(values.from);
  if (values.from === undefined) buildPackages({ out: from });
  for (const root of ['debian', 'container']) mkdirSync(join(folder, root), { mode: 0o755 });
  execFileSync('chmod', ['755', folder]);
  const own = [process.execPath, import.meta.filename, '--from', from, '--in-root', folder];
  process.exitCode = spawnSync('unshare', [...walls, ...own], { stdio: 'inherit' }).status ?? 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
