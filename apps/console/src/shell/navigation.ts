/** What the sidebar offers: a page that the role may not read is left out. */
import type { Action } from '@cyborg/model/policy';

export interface Destination {
  readonly path: string;
  readonly label: string;
  readonly action: Action;
}

export interface DestinationGroup {
  readonly title: string;
  readonly destinations: readonly Destination[];
}

export const navigation: readonly DestinationGroup[] = [
  {
    title: 'Fleet',
    destinations: [
      { path: '/', label: 'Overview', action: 'accelerator:list' },
      { path: '/accelerators', label: 'Accelerators', action: 'accelerator:list' },
    ],
  },
];
