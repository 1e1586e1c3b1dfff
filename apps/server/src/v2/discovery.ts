/** v2's discovery documents: open to everybody. */
import type { V2Route } from './route.ts';

const versions = { max_version: '2.3', min_version: '2.0', status: 'CURRENT' } as const;

interface VersionEntry {
  readonly id: string;
  readonly links: readonly { readonly href: string; readonly rel: string }[];
  readonly max_version: string;
  readonly min_version: string;
  readonly status: string;
}

/** As `GET /` lists it. */
export function v2Entry(base: string): VersionEntry {
  return { id: 'v2', ...versions, links: [{ href: `${base}/accelerator/v2`, rel: 'self' }] };
}

export const discoveryRoutes: readonly V2Route[] = [
  {
    method: 'GET',
    path: '',
    rule: null,
    success: 200,
    handle: async ({ base }) => ({
      id: 'v2.0',
      links: [{ href: `${base}/accelerator/v2/`, rel: 'self' }],
      ...versions,
    }),
  },
];
