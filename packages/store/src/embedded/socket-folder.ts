import { chownSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { EmbeddedPostgresError } from './failure.ts';
import type { Owner } from './ways.ts';

/** The kernel's `sun_path` has 108 bytes with its closing zero. */
const socketPathBytesMax = 107;
export const socketPort = 5432;

export interface SocketFolderOptions {
  /** The embedded database's own directory. */
  readonly directory: string;
  /** Who runs postgres. */
  readonly owner: Owner;
}

/**
 * Makes the folder for the database's socket.
 *
 * @throws EmbeddedPostgresError `directory-unusable` when no place is short enough.
 */
export function makeSocketFolder({ directory, owner }: SocketFolderOptions): string {
  const [folder, refusal] = claimSocketFolder({
    folder: join(directory, 'socket'),
    prefix: 'cyborg-pg',
    socketName: socketName(),
    owner,
  });
  if (folder !== undefined) return folder;
  throw new EmbeddedPostgresError('directory-unusable', `The database's socket: ${refusal}`);
}

export interface SocketPlace {
  /** Where it is best. */
  readonly folder: string;
  /** Of its name anywhere else. */
  readonly prefix: string;
  /** The longest that will be in it. */
  readonly socketName: string;
  readonly owner: Owner;
}

/**
 * A folder (0700) for sockets: the one asked for, or, where that is too deep for a socket path, one of the same name
 * every time in the first of the runtime and temporary folders.
 *
 * @returns the folder, or why there is none and the way out.
 */
export function claimSocketFolder({
  folder: best,
  prefix,
  socketName: name,
  owner,
}: SocketPlace): readonly [string] | readonly [undefined, string] {
  const key = createHash('sha256').update(best).digest('hex').slice(0, 16);
  const places = [
    best,
    ...runtimeFolders(owner).map((folder) => join(folder, `${prefix}-${owner.uid}-${key}`)),
  ];
  for (const folder of places.filter((place) => isShortEnough(join(place, name)))) {
    if (claimFolder(folder, owner)) return [folder];
  }
  return [
    undefined,
    `${places.join(', ')} are longer than a socket path may be (${socketPathBytesMax} bytes with ${name}), not writable, ` +
      "or somebody else's. Give a shorter --state-dir, or set TMPDIR to a short folder of your own.",
  ];
}

export function socketPath(folder: string): string {
  return join(folder, socketName());
}

function socketName(): string {
  return `.s.PGSQL.${socketPort}`;
}

/** The socket and its lock file name a process that may be another one by now. */
export function clearSocketFolder(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (name.startsWith('.s.PGSQL.')) rmSync(join(folder, name), { force: true });
  }
}

function runtimeFolders(owner: Owner): string[] {
  const ownUid = process.getuid?.();
  // Another user than we cannot reach our own runtime folder.
  const ofUser = owner.uid === ownUid ? process.env['XDG_RUNTIME_DIR'] : undefined;
  return [...(ofUser ? [ofUser] : []), ...(ownUid === 0 ? ['/run'] : []), tmpdir(), '/tmp'];
}

function isShortEnough(path: string): boolean {
  return Buffer.byteLength(path) <= socketPathBytesMax;
}

/** In a shared folder the name can be guessed: take it only when it is a folder of ours. */
function claimFolder(folder: string, { uid, gid }: Owner): boolean {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) return false;
  }
  const stat = lstatSync(folder);
  const ownUid = process.getuid?.() ?? 0;
  const isOurs = stat.isDirectory() && (stat.mode & 0o077) === 0;
  if (!isOurs || (stat.uid !== uid && stat.uid !== ownUid)) return false;
  if (stat.uid !== uid) chownSync(folder, uid, gid);
  return true;
}
