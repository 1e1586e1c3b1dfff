/**
 * Who may do what: one table for every route and persona. Scope (which rows) is the services' part:
 * an admin sees all; a manager the granted hosts and the project; member and reader the project.
 */
import type { Caller, Role } from './caller.ts';

export const policy = {
  'driver:list': ['admin', 'manager', 'member', 'reader'],
  'driver:show': ['admin', 'manager', 'member', 'reader'],
  'driver:upload': ['admin'],
  'driver:approve': ['admin'],
  'driver:report': ['admin'],
  'driver:delete': ['admin'],
  'deployment:show': ['admin', 'manager'],
  'deployment:install': ['admin', 'manager'],
  'deployment:update': ['admin', 'manager'],
  'deployment:uninstall': ['admin', 'manager'],
  'host:list': ['admin', 'manager'],
  'host:show': ['admin', 'manager'],
  'host:update': ['admin'],
  'host:enroll': ['admin'],
  'host:revoke': ['admin'],
  'host:delete': ['admin'],
  'backend:list': ['admin', 'manager'],
  'backend:show': ['admin', 'manager'],
  'backend:update': ['admin'],
  'backend:restart': ['admin'],
  'service:list': ['admin', 'manager', 'member', 'reader'],
  'service:show': ['admin', 'manager', 'member', 'reader'],
  'service:update': ['admin'],
  'discovery:create': ['admin', 'manager'],
  'device:list': ['admin', 'manager'],
  'device:show': ['admin', 'manager'],
  'accelerator:list': ['admin', 'manager', 'member', 'reader'],
  'accelerator:show': ['admin', 'manager', 'member', 'reader'],
  'accelerator:create': ['admin', 'manager'],
  'accelerator:update': ['admin', 'manager', 'member'],
  'accelerator:identify': ['admin'],
  'accelerator:program': ['admin'],
  'accelerator:delete': ['admin', 'manager'],
  'instance:list': ['admin', 'manager', 'member', 'reader'],
  'instance:show': ['admin', 'manager', 'member', 'reader'],
  'instance:update': ['admin'],
  'attachment:list': ['admin', 'manager', 'member', 'reader'],
  'attachment:create': ['admin', 'manager', 'member'],
  'attachment:delete': ['admin', 'manager', 'member'],
  'profile:list': ['admin', 'manager', 'member', 'reader'],
  'profile:show': ['admin', 'manager', 'member', 'reader'],
  'profile:create': ['admin'],
  'profile:delete': ['admin'],
  'quota:show': ['admin', 'manager', 'member', 'reader'],
  'quota:update': ['admin'],
  'grant:list': ['admin', 'manager'],
  'grant:create': ['admin'],
  'grant:delete': ['admin'],
  'operation:list': ['admin', 'manager', 'member', 'reader'],
  'operation:show': ['admin', 'manager', 'member', 'reader'],
  'operation:cancel': ['admin', 'manager', 'member'],
  'event:list': ['admin', 'manager', 'member', 'reader'],
  'unclaimed:update': ['admin'],
} as const satisfies Record<string, readonly Role[]>;

export type Action = keyof typeof policy;

/** True when one of the caller's roles may do it at all; whose things it touches is decided with the rows. */
export function isAllowed(caller: Caller, action: Action): boolean {
  return policy[action].some((role) => caller.roles.has(role));
}
