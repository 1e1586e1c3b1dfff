/**
 * What this machine lets us put around a driver. Root: another user, no network, a mount namespace of its own. Others:
 * the same user, and no network where user namespaces are allowed. Node's permission model is the seat belt on top.
 */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Logger } from '@cyborg/service/logging';

const run = promisify(execFile);
const probeTimeoutMs = 5_000;

export interface Wall {
  readonly kind: 'root' | 'user';
  /** Arguments that go before the program; empty when the kernel allows none. */
  readonly namespace: readonly string[];
  readonly canMount: boolean;
  readonly user: readonly string[];
  readonly uid: number;
  /** Where a driver's private mounts are; an empty folder for everybody else. */
  readonly mountPoint: string;
}

/** nobody: exists everywhere and owns nothing. */
const driverUid = 65_534;

/**
 * A mount namespace of its own, in which nothing of the host stays mounted that the host unmounts, and out of which no
 * mount comes. util-linux would make it private: each driver would keep the host's file systems alive.
 */
export const ownMounts: readonly string[] = ['-m', '--propagation=slave'];

const common = ['--no-new-privs', '--pdeathsig', 'KILL'];

export async function probeWall(uid: number, log: Pick<Logger, 'warn'>): Promise<Wall> {
  const wall = uid === 0 ? await probeAsRoot() : await probeAsUser(uid);
  if (wall.namespace.length === 0) {
    log.warn({}, 'drivers keep their network: this machine allows no namespaces to the agent');
  }
  return wall;
}

async function probeAsRoot(): Promise<Wall> {
  const drop = [
    'setpriv',
    `--reuid=${driverUid}`,
    `--regid=${driverUid}`,
    '--clear-groups',
    ...common,
  ];
  const canMount = await works(['unshare', '-n', ...ownMounts, ...drop, 'true']);
  const canCutNetwork = canMount || (await works(['unshare', '-n', ...drop, 'true']));
  const noNetwork = canCutNetwork ? ['unshare', '-n'] : [];
  const namespace = canMount ? [...noNetwork, ...ownMounts] : noNetwork;
  const mountPoint = await makeMountPoint();
  const canDrop = await works([...drop, 'true']);
  if (!canDrop) {
    throw new Error(
      'drivers cannot be started as another user: setpriv (util-linux) is missing or not allowed here; run the agent as an ordinary user, or give it CAP_SETUID and CAP_SETGID',
    );
  }
  return { kind: 'root', namespace, canMount, user: drop, uid: driverUid, mountPoint };
}

async function probeAsUser(uid: number): Promise<Wall> {
  const own = ['unshare', '-U', '--map-current-user', '-n'];
  const user = (await works(['setpriv', ...common, 'true'])) ? ['setpriv', ...common] : [];
  const namespace = (await works([...own, ...user, 'true'])) ? own : [];
  return { kind: 'user', namespace, canMount: false, user, uid, mountPoint: '' };
}

async function makeMountPoint(): Promise<string> {
  try {
    await mkdir('/run/cyborg-drivers', { recursive: true, mode: 0o755 });
    return '/run/cyborg-drivers';
  } catch {
    return '/mnt';
  }
}

async function works([command, ...args]: readonly string[]): Promise<boolean> {
  if (command === undefined) return false;
  try {
    await run(command, args, { timeout: probeTimeoutMs });
    return true;
  } catch {
    return false;
  }
}
