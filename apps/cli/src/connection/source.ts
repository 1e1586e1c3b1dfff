import type { Auth } from '@cyborg/api-client/http';

import { UsageError } from '../errors.ts';
import type { Io } from '../io.ts';

/** What one source of connections knows. */
export type Source =
  /** Its credentials belong to its URL, and are sent nowhere else. */
  | {
      readonly kind: 'stored';
      readonly url: string;
      readonly auth: Auth;
      readonly caFile: string | undefined;
    }
  /** A cloud: its token is good for every server of it; the catalogue knows where ours is. */
  | {
      readonly kind: 'cloud';
      readonly locate: () => Promise<string>;
      readonly auth: Auth;
      readonly caFile: string | undefined;
    };

export interface Lookup {
  readonly io: Pick<Io, 'env' | 'home' | 'workingDirectory' | 'clock' | 'rng'>;
  readonly warn: (line: string) => void;
}

export const defaultUrl = 'http://127.0.0.1:6680';

/** @throws UsageError */
export function requireHttpUrl(url: string): void {
  if (URL.canParse(url) && ['http:', 'https:'].includes(new URL(url).protocol)) return;
  throw new UsageError(`'${url}' is no URL of a server; it looks like ${defaultUrl}.`);
}
