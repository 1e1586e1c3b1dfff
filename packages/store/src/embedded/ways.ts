import { chmodSync, lchownSync, lstatSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { userInfo } from 'node:os';

import type { StoreLog } from '../log.ts';
import { copyBinaries } from './binaries.ts';
import type { Binaries } from './binaries.ts';
import { runCommand } from './command.ts';
import { EmbeddedPostgresError } from './failure.ts';

/** Whose files the database's are, as the host counts users. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** A user and a place of the programs with which postgres, which refuses root, runs here. */
export interface Way {
  readonly name: string;
  readonly owner: Owner;
  /** Goes before `postgres` or `initdb`. */
  readonly prefix: readonly string[];
  readonly binaries: Binaries;
  /** Of `postgres -V`, such as `18.4`. */
  readonly version: string;
}

export interface WayOptions {
  readonly directory: string;
  readonly data: string;
  readonly binaries: Binaries;
  readonly log: StoreLog;
}

type Identity = Pick<Way, 'name' | 'owner' | 'prefix'>;

const nobody: Owner = { uid: 65_534, gid: 65_534 };
/** postgres dies with the thread that started it: SIGINT is its fast shutdown. */
const withParent = ['setpriv', '--pdeathsig', 'INT'];
const probeTimeoutMs = 20_000;

/**
 * Tries the ways of running postgres in order: directly (root as another user), in a user namespace,
 * as an owner of a closed folder on the way or past all of them, and the same with a copy of the programs.
 *
 * @throws {EmbeddedPostgresError} `no-way-to-run`, with what each way said.
 */
export async function chooseWay({ directory, data, binaries, log }: WayOptions): Promise<Way> {
  const ownUid = process.getuid?.() ?? 0;
  const identities = ownUid === 0 ? identitiesOfRoot(directory, data) : identitiesOfUser();
  if (identities.some(({ owner }) => owner.uid !== ownUid)) openToPass(directory);
  const refusals: string[] = [];
  const places = binaries.isComplete ? [() => binaries] : [];
  for (const place of [...places, () => copyBinaries(binaries, directory)]) {
    const programs = place();
    for (const identity of identities) {
      const probed = await probe(identity, programs, directory);
      if ('version' in probed) {
        log.debug({ way: identity.name, native: programs.native }, 'PostgreSQL can run');
        return { ...identity, binaries: programs, version: probed.version };
      }
      refusals.push(`${identity.name}: ${probed.refusal}`);
    }
  }
  throw noWay(directory, refusals);
}

/** @throws {EmbeddedPostgresError} `directory-unusable`: the data is another user's, and we are not root. */
export function refuseForeignData(data: string): void {
  const [ownUid, owner] = [process.getuid?.(), ownerOf(data)];
  if (ownUid === 0 || owner === undefined || owner.uid === ownUid) return;
  throw new EmbeddedPostgresError(
    'directory-unusable',
    `The database in ${data} belongs to uid ${owner.uid}. ` +
      'Start the server as that user or as root, or give another --state-dir.',
  );
}

/** Makes the data the owner's, when another way was taken before (only root can). */
export function giveTo(owner: Owner, path: string): void {
  if (lstatSync(path).uid === owner.uid) return;
  if (lstatSync(path).isDirectory()) {
    for (const name of readdirSync(path)) giveTreeTo(owner, join(path, name));
  }
  // The top comes last: an interrupted change is seen by it and done again.
  lchownSync(path, owner.uid, owner.gid);
}

function giveTreeTo(owner: Owner, path: string): void {
  if (lstatSync(path).isDirectory()) {
    for (const name of readdirSync(path)) giveTreeTo(owner, join(path, name));
  }
  lchownSync(path, owner.uid, owner.gid);
}

function identitiesOfRoot(directory: string, data: string): Identity[] {
  const before = ownerOf(data);
  const account = accountOf('postgres') ?? nobody;
  const inNamespace = namespaceIdentity({ uid: 0, gid: 0 });
  const others = [
    ...closedAncestorOwners(directory).map(userIdentity),
    passingIdentity(before === undefined || before.uid === 0 ? account : before),
  ];
  if (before === undefined) return [userIdentity(account), inNamespace, ...others];
  // Staying with the way that made the data spares changing its owner.
  if (before.uid === 0) return [inNamespace, userIdentity(account), ...others];
  return [userIdentity(before), userIdentity(account), inNamespace, ...others];
}

function identitiesOfUser(): Identity[] {
  const { uid = 0, gid = 0 } = { uid: process.getuid?.(), gid: process.getgid?.() };
  const owner = { uid, gid };
  const plain: Identity = { name: `as this user (uid ${uid})`, owner, prefix: withParent };
  const inNamespace = namespaceIdentity(owner);
  // initdb wants a name for its user, which containers often lack.
  return hasName() ? [plain, inNamespace] : [inNamespace, plain];
}

function userIdentity(owner: Owner): Identity {
  const ids = ['--reuid', String(owner.uid), '--regid', String(owner.gid), '--clear-groups'];
  return { name: `as uid ${owner.uid}`, owner, prefix: [...withParent, ...ids] };
}

/** For folders of several owners: the one capability that lets it pass through them. */
function passingIdentity(owner: Owner): Identity {
  const { name, prefix } = userIdentity(owner);
  const pass = ['--inh-caps', '+dac_read_search', '--ambient-caps', '+dac_read_search'];
  return { name: `${name} with CAP_DAC_READ_SEARCH`, owner, prefix: [...prefix, ...pass] };
}

function namespaceIdentity(owner: Owner): Identity {
  const map = [`--map-user=${nobody.uid}`, `--map-group=${nobody.gid}`];
  return {
    name: 'in a user namespace',
    owner,
    prefix: [...withParent, 'unshare', '--user', ...map],
  };
}

async function probe(
  { prefix }: Identity,
  { native }: Binaries,
  directory: string,
): Promise<{ version: string } | { refusal: string }> {
  // The programs ask access(2) whether they may run themselves, and that looks at no capability; nor does env's test.
  const script =
    '"$0" -V && { test -x "$1" || { echo "cannot enter $1"; exit 1; }; } && ' +
    '{ command -p env PATH=/usr/bin:/bin test -x "$0" || { echo "only a capability leads to $0"; exit 1; }; }';
  const argv = [...prefix, '/bin/sh', '-c', script, join(native, 'bin', 'postgres'), directory];
  const { status, output } = await runCommand(argv, { timeoutMs: probeTimeoutMs, cwd: '/' });
  const version = /\(PostgreSQL\) (\S+)/.exec(output)?.[1];
  if (status === 0 && version !== undefined) return { version };
  return { refusal: output === '' ? `exit status ${status ?? 'unknown'}` : output };
}

function noWay(directory: string, refusals: readonly string[]): EmbeddedPostgresError {
  const tried = refusals.join('; ');
  return new EmbeddedPostgresError(
    'no-way-to-run',
    process.getuid?.() === 0
      ? `PostgreSQL does not run as root, and no other way works for ${directory} (${tried}). ` +
          'Start the server as a normal user, or give a --state-dir that other users may pass through ' +
          '(such as /var/lib/cyborg), or allow user namespaces, or give --database-url.'
      : `PostgreSQL cannot be started for ${directory} (${tried}). ` +
          'Install util-linux (setpriv, unshare, flock), keep the directory off a disk mounted noexec, ' +
          'or give --database-url.',
  );
}

function ownerOf(path: string): Owner | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? undefined : { uid: stat.uid, gid: stat.gid };
}

/** Owners of the folders above that other users may not pass through. */
function closedAncestorOwners(directory: string): Owner[] {
  const owners = new Map<number, Owner>();
  for (let folder = dirname(directory); folder !== dirname(folder); folder = dirname(folder)) {
    const { uid, gid, mode } = statSync(folder);
    if (uid !== 0 && (mode & 0o001) === 0) owners.set(uid, { uid, gid });
  }
  return [...owners.values()];
}

function accountOf(name: string): Owner | undefined {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  return uid === undefined || gid === undefined
    ? undefined
    : { uid: Number(uid), gid: Number(gid) };
}

function hasName(): boolean {
  try {
    return userInfo().username !== '';
  } catch {
    return false;
  }
}

/** What matters lies in closed folders below; another user must only get through to them. */
function openToPass(directory: string): void {
  const { mode } = statSync(directory);
  if ((mode & 0o001) === 0) chmodSync(directory, (mode & 0o777) | 0o011);
}
