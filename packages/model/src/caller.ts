/** Who asks: the same for http_basic, none and Keystone. */
import type { CallerToken } from './caller-token.ts';

export type Role = 'admin' | 'manager' | 'member' | 'reader' | 'service';

export interface Caller {
  readonly userId: string;
  readonly userName: string;
  readonly projectId: string;
  readonly projectName: string;
  /** With implied roles resolved: admin > manager > member > reader. */
  readonly roles: ReadonlySet<Role>;
  /** Keystone's own names, others' included, with what Keystone implies and no more: v2's policy speaks of them. */
  readonly roleNames?: ReadonlySet<string>;
  /** A service asks in the user's name, with a token of its own: Nova, most often. http_basic: the role `service`. */
  readonly isServiceRequest: boolean;
  /** Keystone's, with which Nova can be asked what the caller sees. */
  readonly token?: CallerToken;
}

const implied: Readonly<Record<Role, readonly Role[]>> = {
  admin: ['admin', 'manager', 'member', 'reader'],
  manager: ['manager', 'member', 'reader'],
  member: ['member', 'reader'],
  reader: ['reader'],
  service: ['service'],
};

export const roles = Object.keys(implied) as readonly Role[];

export function isRole(text: string): text is Role {
  return (roles as readonly string[]).includes(text);
}

export function resolveRoles(given: readonly Role[]): ReadonlySet<Role> {
  return new Set(given.flatMap((role) => implied[role]));
}

export function isAdmin(caller: Caller): boolean {
  return caller.roles.has('admin');
}
