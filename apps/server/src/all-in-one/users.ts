/** The users of a new installation, and the files with which the CLI connects as them. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Role } from '@cyborg/model/caller';
import { systemRng } from '@cyborg/service/rng';
import Type from 'typebox';
import { Check } from 'typebox/value';
import { parse, stringify } from 'yaml';

import { hashPassword } from '../auth/password.ts';
import { makePassword } from '../auth/make-password.ts';
import { readUsersFile } from '../auth/users-file.ts';
import { putUsers, writePrivateFile } from '../auth/write-users-file.ts';

export const tenantProject = 'demo';

interface FirstUser {
  readonly name: string;
  readonly role: Role;
  readonly project: string;
  /** In the state directory. */
  readonly file: string;
}

const firstUsers: readonly FirstUser[] = [
  { name: 'admin', role: 'admin', project: 'admin', file: 'client.yaml' },
  { name: 'manager', role: 'manager', project: tenantProject, file: 'client-manager.yaml' },
  { name: 'member', role: 'member', project: tenantProject, file: 'client-member.yaml' },
  { name: 'reader', role: 'reader', project: tenantProject, file: 'client-reader.yaml' },
];

export interface Login {
  readonly user: string;
  readonly password: string;
  readonly file: string;
}

/**
 * Makes sure that each first user exists with the password of its connection file; one without gets a new password.
 * Users that were added or changed by hand stay as they are.
 */
export async function ensureUsers(stateDir: string, usersFile: string): Promise<Login[]> {
  const known = existsSync(usersFile) ? (await readUsersFile(usersFile)).byName : new Map();
  const logins: Login[] = [];
  for (const { name, role, project, file } of firstUsers) {
    const path = join(stateDir, file);
    const remembered = known.has(name) ? readPassword(path, name) : undefined;
    const password = remembered ?? makePassword(systemRng);
    if (remembered === undefined) {
      const hash = await hashPassword(password, systemRng);
      const user = { name, password_hash: hash, roles: [role], project_id: project };
      await putUsers(usersFile, [user]);
    }
    logins.push({ user: name, password, file: path });
  }
  return logins;
}

const LoginSchema = Type.Object({ user: Type.String(), password: Type.String() });

function readPassword(path: string, user: string): string | undefined {
  try {
    const content: unknown = parse(readFileSync(path, 'utf8'));
    return Check(LoginSchema, content) && content.user === user ? content.password : undefined;
  } catch {
    return undefined;
  }
}

export interface ClientFileTarget {
  readonly url: string;
  /** Absolute; for a certificate that the system does not trust. */
  readonly caFile: string | undefined;
  readonly stateDir: string;
}

export async function writeClientFiles(
  logins: readonly Login[],
  target: ClientFileTarget,
): Promise<void> {
  for (const login of logins) await writePrivateFile(login.file, clientText(login, target));
}

/**
 * Writes the file where the CLI looks by itself, unless somebody else's is there.
 *
 * @returns undefined, or a sentence that says why it was not written.
 */
export async function writeDefaultClientFile(
  path: string,
  login: Login,
  target: ClientFileTarget,
): Promise<string | undefined> {
  const isOurs = !existsSync(path) || readFileSync(path, 'utf8').startsWith(headOf(target));
  if (isOurs) {
    await writePrivateFile(path, clientText(login, target));
    return undefined;
  }
  return `${path} belongs to another installation and was left alone; use CYBORG_CONFIG=${login.file}`;
}

function headOf({ stateDir }: ClientFileTarget): string {
  return `# Written at each start by the Cyborg installation in ${stateDir}\n`;
}

function clientText({ user, password }: Login, target: ClientFileTarget): string {
  const { url, caFile } = target;
  const content = { url, user, password, ...(caFile === undefined ? {} : { ca_file: caFile }) };
  return headOf(target) + stringify(content, { version: '1.1' });
}
