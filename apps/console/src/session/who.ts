/** The caller and what the role may do, from the server's own policy table. */
import { policy, type Action } from '@cyborg/model/policy';
import { createContext, useContext } from 'react';

import type { Session } from './session.ts';

export interface Who {
  readonly session: Session;
  readonly caller: NonNullable<Session['caller']>;
  readonly signOut: () => void;
}

const WhoContext = createContext<Who | undefined>(undefined);
export const WhoProvider = WhoContext.Provider;

export function useWho(): Who {
  const who = useContext(WhoContext);
  if (who === undefined) throw new Error('useWho needs somebody who is signed in.');
  return who;
}

export interface Permission {
  readonly isAllowed: boolean;
  /** A sentence for those who may not. */
  readonly reason: string;
}

export function usePermission(action: Action): Permission {
  const { caller } = useWho();
  const needed: readonly string[] = policy[action];
  const isAllowed = needed.some((role) => caller.roles.includes(role));
  const mine = strongest(caller.roles);
  return {
    isAllowed,
    reason: isAllowed ? '' : `This is for the role ${needed.join(' or ')}; yours is ${mine}.`,
  };
}

const byStrength = ['admin', 'manager', 'member', 'reader', 'service'];

export function strongest(roles: readonly string[]): string {
  return byStrength.find((role) => roles.includes(role)) ?? 'none';
}

export function useIsAdmin(): boolean {
  return useWho().caller.roles.includes('admin');
}
