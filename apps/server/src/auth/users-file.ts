/** The users file of http_basic: YAML, mode 0600, read again when it changes. */
import { open, stat } from 'node:fs/promises';

import { resolveRoles, roles as allRoles } from '@cyborg/model/caller';
import type { Caller, Role } from '@cyborg/model/caller';
import Type, { type Static } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { parse } from 'yaml';

import { isPasswordHash } from './password.ts';

export const userLimits = { usersMax: 10_000, fileBytesMax: 8 * 1024 * 1024 } as const;

const Text = Type.String({ minLength: 1, maxLength: 255, pattern: '^[^\\u0000-\\u001f]+$' });

export const UserEntrySchema = Type.Object(
  {
    /** No colon: HTTP Basic ends the name there. */
    name: Type.String({ minLength: 1, maxLength: 255, pattern: '^[^\\u0000-\\u001f:]+$' }),
    password_hash: Type.String({ minLength: 1, maxLength: 512 }),
    roles: Type.Array(Type.Unsafe<Role>({ type: 'string', enum: [...allRoles] }), { minItems: 1 }),
    project_id: Text,
    project_name: Type.Optional(Text),
  },
  { additionalProperties: false },
);
export type UserEntry = Static<typeof UserEntrySchema>;

const UsersFileSchema = Type.Object(
  { users: Type.Array(UserEntrySchema, { maxItems: userLimits.usersMax }) },
  { additionalProperties: false },
);

export interface User {
  readonly caller: Caller;
  readonly passwordHash: string;
}

export interface Users {
  readonly byName: ReadonlyMap<string, User>;
  /** Differs whenever the file does. */
  readonly version: string;
}

export class UsersFileError extends Error {
  override readonly name = 'UsersFileError';
}

/** @throws {UsersFileError} naming the file, the place in it and the way out. */
export async function readUsersFile(path: string): Promise<Users> {
  const { text, version } = await readPrivate(path);
  const entries = parseUserEntries(text, path);
  const byName = new Map<string, User>();
  for (const entry of entries) {
    if (byName.has(entry.name)) {
      throw new UsersFileError(`${path} has the user ${JSON.stringify(entry.name)} twice.`);
    }
    byName.set(entry.name, { caller: toCaller(entry), passwordHash: entry.password_hash });
  }
  return { byName, version };
}

/** @throws {UsersFileError} */
export function parseUserEntries(text: string, path: string): UserEntry[] {
  const content = parseYaml(text, path);
  if (!Check(UsersFileSchema, content)) {
    const [error] = Errors(UsersFileSchema, content);
    throw new UsersFileError(
      `${path}: ${error?.instancePath || 'the file'} ${error?.message ?? 'is wrong'}. ` +
        'It must hold "users:", a list of {name, password_hash, roles, project_id, project_name}; `cyborg-server user-set` writes it.',
    );
  }
  const wrong = content.users.find((user) => !isPasswordHash(user.password_hash));
  if (wrong !== undefined) {
    throw new UsersFileError(
      `${path}: password_hash of ${JSON.stringify(wrong.name)} is no $scrypt$ or bcrypt ($2b$, $2y$) hash; ` +
        'set the password with `cyborg-server user-set`.',
    );
  }
  return content.users;
}

/** Cheap: what changes with every write of the file. */
export async function versionOf(path: string): Promise<string> {
  const { mtimeMs, size, ino, mode } = await stat(path);
  return `${ino} ${size} ${mtimeMs} ${mode}`;
}

async function readPrivate(path: string): Promise<{ text: string; version: string }> {
  try {
    await using file = await open(path, 'r');
    const { mtimeMs, size, ino, mode } = await file.stat();
    if ((mode & 0o077) !== 0) {
      throw new UsersFileError(
        `${path} can be read by others (mode ${(mode & 0o777).toString(8)}): run chmod 600 ${path}.`,
      );
    }
    if (size > userLimits.fileBytesMax) {
      throw new UsersFileError(`${path} is larger than ${userLimits.fileBytesMax} bytes.`);
    }
    return {
      text: await file.readFile('utf8'),
      version: `${ino} ${size} ${mtimeMs} ${mode}`,
    };
  } catch (error) {
    if (error instanceof UsersFileError) throw error;
    throw new UsersFileError(
      `The users file cannot be read: ${messageOf(error)}. ` +
        'Make it with `cyborg-server user-set NAME --users-file FILE`.',
    );
  }
}

function parseYaml(text: string, path: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw new UsersFileError(`${path} is not valid YAML: ${messageOf(error).split('\n')[0]}.`);
  }
}

function toCaller({ name, roles, project_id, project_name }: UserEntry): Caller {
  return {
    userId: name,
    userName: name,
    projectId: project_id,
    projectName: project_name ?? project_id,
    roles: resolveRoles(roles),
    isServiceRequest: roles.includes('service'),
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
