import type { PciFunction } from './function.ts';
import type { HostTables } from './host-tables.ts';

/** `seen`: somebody holds it. `unknown`: evidence is missing, which counts as use too. */
export interface HostUse {
  readonly certainty: 'seen' | 'unknown';
  /** Names the holder, or what is missing. */
  readonly text: string;
}

/** Looks for one kind of holder; undefined when it does not hold the function. */
export type HolderCheck = (fn: PciFunction, tables: HostTables) => HostUse | undefined;

export const seen = (text: string): HostUse => ({ certainty: 'seen', text });
export const unknown = (text: string): HostUse => ({ certainty: 'unknown', text });
