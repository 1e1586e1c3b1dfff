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
 * Makes the folder (0700) for the database's socket: in its directory, or, where that is too deep
 * for a socket path, one of the same name every time in the first of the runtime and temporary folders.
 */
export function makeSocketFolder({ directory, owner }: SocketFolderOptions): string {
  const key = createHash('sha256').update(directory).digest('hex').slice(0, 16);
  const places = [
    join(directory, 'socket'),
    ...runtimeFolders(owner).map((folder) => join(folder, `cyborg-pg-${owner.uid}-${key}`)),
  ];
  for (const folder of places.filter(isShortEnough)) {
    if (claimFolder(folder, owner)) return folder;
  }
  throw new EmbeddedPostgresError(
    'directory-unusable',
    `No folder for the database's socket: ${places.join(', ')} are longer than a socket path may be ` +
      `(${socketPathBytesMax} bytes), not writable, or somebody else's. ` +
      'Give a shorter --state-dir, or set TMPDIR to a short folder of your own.',
  );
}

export function socketPath(folder: string): string {
  return join(folder, `.s.PGSQL.${socketPort}`);
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

function isShortEnough(folder: string): boolean {
  return Buffer.byteLength(socketPath(folder)) <= socketPathBytesMax;
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
