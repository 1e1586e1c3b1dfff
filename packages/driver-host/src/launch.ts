/** Starts a driver's program behind the wall. */
import { spawn } from 'node:child_process';
import { access, chown, mkdir, readFile, realpath } from 'node:fs/promises';
import { join, relative } from 'node:path';
import Type from 'typebox';
import { Value } from 'typebox/value';
import type { Roots } from '@cyborg/driver-sdk/protocol';
import { pciIdsPaths } from '@cyborg/driver-sdk/pci-ids';
import type { DriverPackage } from './catalogue.ts';
import type { DriverChild } from './driver-process.ts';
import { streamLimits } from './limits.ts';
import { exposuresOf, isReachable, type Exposure } from './reach.ts';
import { ownMounts, type Wall } from './wall.ts';

export interface LaunchOptions {
  readonly wall: Wall;
  /** The Node to run drivers with. */
  readonly execPath: string;
  readonly roots: Roots;
  /** A folder for the driver alone is made in it. */
  readonly stateDir: string;
  /** Where the agent puts program images while it runs; readable by everybody. Absent where none are written. */
  readonly imagesDir?: string | undefined;
}

export interface Launched {
  readonly child: DriverChild;
  /** As the driver sees them. */
  readonly roots: Roots;
  readonly stateDir: string | null;
  readonly imagesDir: string | null;
}

/** Sets up mounts that nobody else sees, drops everything, becomes the driver. */
const setUpMounts = `
set -e
mount -t tmpfs -o mode=0755,size=1g cyborg-driver "$1"; shift
while [ "$1" != -- ]; do
  if [ -d "$2" ]; then mkdir -p "$3"; else mkdir -p "$(dirname "$3")"; : > "$3"; fi
  case $1 in
    bind) mount --bind "$2" "$3"; mount -o remount,bind,ro "$3" ;;
    bind-writable) mount --bind "$2" "$3" ;;
    copy) if [ -d "$2" ]; then cp -a "$2/." "$3"; else cp "$2" "$3"; fi; chmod -R go+rX "$3" ;;
  esac
  shift 3
done
shift
exec "$@"
`;

/** Paths as the driver will see them, and what must be done so that it does. */
class View {
  readonly exposures: Exposure[] = [];
  readonly #wall: Wall;

  constructor(wall: Wall) {
    this.#wall = wall;
  }

  /** Drivers of an ordinary user's agent are that user. */
  get mustBeReachable(): boolean {
    return this.#wall.kind === 'root';
  }

  async show(path: string, name: string, isWritable = false): Promise<string> {
    if (!this.mustBeReachable || (await isReachable(path))) return path;
    const target = this.at(name, path);
    if (isWritable) this.exposures.push(['bind-writable', await realpath(path), target]);
    else this.exposures.push(...(await exposuresOf(path, target)));
    return target;
  }

  /** What comes into the folder later is seen, too. */
  async showLive(path: string, name: string): Promise<string> {
    if (!this.mustBeReachable || (await isReachable(path))) return path;
    const target = this.at(name, path);
    this.exposures.push(['bind', await realpath(path), target]);
    return target;
  }

  /** A recorded tree may lack one: what is not there is the driver's to find out. */
  async showTree(path: string, name: string): Promise<string> {
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    return isThere ? await this.show(path, name) : path;
  }

  at(name: string, path: string): string {
    if (this.#wall.canMount) return join(this.#wall.mountPoint, name);
    throw new Error(
      `drivers run as user ${this.#wall.uid}, who cannot reach ${path}, and mounting is not allowed here: make it and the folders above it readable for others, or move it`,
    );
  }
}

interface Code {
  readonly node: string;
  readonly main: string;
  readonly readable: readonly string[];
}

/** Node and the driver's code keep their places relative to each other, so that workspace links work. */
async function showCode(view: View, pkg: DriverPackage, execPath: string): Promise<Code> {
  const node = await view.show(await realpath(execPath), 'node');
  const parts = ['node_modules', 'packages'].map((name) => join(pkg.codeRoot, name));
  const folders = pkg.codeRoot === pkg.folder ? [pkg.folder] : [...parts, pkg.folder];
  const reachable = await Promise.all([...folders, pkg.main].map(canReach));
  if (!view.mustBeReachable || reachable.every(Boolean)) {
    return { node, main: pkg.main, readable: folders };
  }
  const shown: string[] = [];
  for (const folder of folders) {
    const target = view.at(join('code', relative(pkg.codeRoot, folder)), folder);
    view.exposures.push(...(await codeExposuresOf(pkg, folder, target)));
    shown.push(target);
  }
  return {
    node,
    main: view.at(join('code', relative(pkg.codeRoot, pkg.main)), pkg.main),
    readable: shown,
  };
}

/** A copy takes memory: of all the modules of a checkout only those that the driver needs are copied. */
async function codeExposuresOf(
  pkg: DriverPackage,
  folder: string,
  target: string,
): Promise<Exposure[]> {
  const exposures = await exposuresOf(folder, target);
  const isCopy = exposures.some(([act]) => act === 'copy');
  if (!isCopy || folder !== join(pkg.codeRoot, 'node_modules')) return exposures;
  const names = [...(await modulesOf(pkg)), '@cyborg'];
  return names.map((name): Exposure => ['copy', join(folder, name), join(target, name)]);
}

/** Third-party modules that the driver and the SDK say they need. */
async function modulesOf({ folder, codeRoot }: DriverPackage): Promise<string[]> {
  const manifests = [folder, join(codeRoot, 'packages', 'driver-sdk')];
  const names = new Set<string>();
  for (const at of manifests) {
    const text = await readFile(join(at, 'package.json'), 'utf8').catch(() => '{}');
    const { dependencies = {} } = Value.Parse(DependenciesSchema, JSON.parse(text));
    for (const name of Object.keys(dependencies)) names.add(name);
  }
  return [...names].filter((name) => !name.startsWith('@cyborg/'));
}

const DependenciesSchema = Type.Object({
  dependencies: Type.Optional(Type.Record(Type.String(), Type.String())),
});

async function canReach(path: string): Promise<boolean> {
  return await isReachable(path).catch(() => true);
}

/** @throws when the program cannot be made reachable, naming the path and the way out. */
export async function launchDriver(
  pkg: DriverPackage,
  { wall, execPath, roots, stateDir, imagesDir }: LaunchOptions,
): Promise<Launched> {
  const own = join(stateDir, 'driver-state', pkg.id);
  await mkdir(own, { recursive: true, mode: 0o700 });
  if (wall.kind === 'root') await chown(own, wall.uid, wall.uid);
  const view = new View(wall);
  const code = await showCode(view, pkg, execPath);
  const shownState = wall.kind === 'user' ? own : await showState(view, own);
  const shownRoots = {
    sysfs: await view.showTree(roots.sysfs, 'sysfs'),
    proc: await view.showTree(roots.proc, 'proc'),
    dev: await view.showTree(roots.dev, 'dev'),
  };
  const shownImages = imagesDir === undefined ? null : await view.showLive(imagesDir, 'images');
  const trees = [...Object.values(shownRoots), shownState, shownImages ?? []].flat();
  const readable = [...code.readable, ...trees, ...pciIdsPaths];
  const how =
    pkg.runtime === 'node' ? runNode(code, readable, shownState) : runProgram(code, pkg.runtime);
  const program = [
    ...wall.user,
    'prlimit',
    `--nofile=${streamLimits.openFilesMax}`,
    ...(await processLimit(wall)),
    '--core=0',
    // What spins takes no time that the agent needs.
    'nice',
    '-n',
    String(streamLimits.niceness),
    ...how,
  ];
  return {
    child: start(behind(wallFor(pkg, wall), view.exposures, program)),
    roots: shownRoots,
    stateDir: shownState,
    imagesDir: shownImages,
  };
}

function runNode(code: Code, readable: readonly string[], state: string): string[] {
  return [
    code.node,
    '--permission',
    // What may block is read in a process that can be killed (ScanProcess). The wall around both is the user, the
    // namespaces and no new privileges, which a child inherits; Node's model is a seat belt and would stop no attacker.
    '--allow-child-process',
    '--allow-worker',
    '--disable-warning=SecurityWarning',
    ...readable.map((path) => `--allow-fs-read=${path}`),
    `--allow-fs-write=${state}`,
    `--max-old-space-size=${streamLimits.heapMiBMax}`,
    code.main,
  ];
}

/** What prlimit can still bound, then the file itself. */
function runProgram(code: Code, runtime: 'python3' | 'program'): string[] {
  const limit = `--data=${streamLimits.programDataMiBMax * 1024 * 1024}`;
  // -B: its folder is read-only, and must stay as it was checked.
  return ['prlimit', limit, '--', ...(runtime === 'python3' ? ['python3', '-B'] : []), code.main];
}

/**
 * Of all drivers together. An ordinary user's own processes would count, so that user's limit is left as it is; so is one
 * that is lower already, which a driver could not raise.
 */
async function processLimit(wall: Wall): Promise<string[]> {
  if (wall.kind !== 'root') return [];
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '');
  const hard = /^Max processes +\S+ +(\S+)/mu.exec(limits)?.[1];
  if (hard === undefined || Number(hard) <= streamLimits.userThreadsMax) return [];
  return [`--nproc=${streamLimits.userThreadsMax}`];
}

/** The folder is the driver user's; only the way to it may be closed. */
async function showState(view: View, own: string): Promise<string> {
  if (await isReachable(join(own, '..'))) return own;
  return await view.show(own, 'state', true);
}

function wallFor({ mayUseNetwork }: DriverPackage, wall: Wall): Wall {
  if (mayUseNetwork !== true) return wall;
  return { ...wall, namespace: wall.namespace.filter((word) => word !== '-n') };
}

function behind(wall: Wall, exposures: readonly Exposure[], program: string[]): string[] {
  if (exposures.length === 0)
    return [...wall.namespace.filter((word) => !ownMounts.includes(word)), ...program];
  const script = ['sh', '-c', setUpMounts, 'sh', wall.mountPoint];
  return [...wall.namespace, ...script, ...exposures.flat(), '--', ...program];
}

function start([command, ...args]: readonly string[]): DriverChild {
  return spawn(command ?? '', args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: '/',
    // Nothing of the agent's environment: it may hold secrets.
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', TZ: 'UTC' },
  });
}
