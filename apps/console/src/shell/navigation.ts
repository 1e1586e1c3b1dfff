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
      { path: '/hosts', label: 'Hosts', action: 'host:list' },
      { path: '/backends', label: 'Backends', action: 'backend:list' },
      { path: '/services', label: 'Services', action: 'service:list' },
      { path: '/drivers', label: 'Drivers', action: 'driver:list' },
      { path: '/unclaimed', label: 'Unclaimed devices', action: 'unclaimed:update' },
    ],
  },
  {
    title: 'Use',
    destinations: [
      { path: '/instances', label: 'Instances', action: 'instance:list' },
      { path: '/profiles', label: 'Device profiles', action: 'profile:list' },
      { path: '/quotas', label: 'Quotas', action: 'quota:show' },
      { path: '/grants', label: 'Grants', action: 'grant:list' },
    ],
  },
  {
    title: 'Activity',
    destinations: [
      { path: '/operations', label: 'Operations', action: 'operation:list' },
      { path: '/events', label: 'Events', action: 'event:list' },
    ],
  },
];
