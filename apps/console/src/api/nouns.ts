/** Which things each reading is about: what an event is about makes these readings old. */
import type { OperationName } from './call.ts';

export type Noun =
  | 'accelerators'
  | 'attachments'
  | 'backends'
  | 'devices'
  | 'drivers'
  | 'events'
  | 'grants'
  | 'hosts'
  | 'instances'
  | 'join-tokens'
  | 'operations'
  | 'profiles'
  | 'quotas'
  | 'services'
  | 'summary'
  | 'unclaimed';

export const nounOf = {
  listAccelerators: 'accelerators',
  showAccelerator: 'accelerators',
  listAcceleratorAttachments: 'attachments',
  listAttachments: 'attachments',
  listBackends: 'backends',
  showBackend: 'backends',
  listDevices: 'devices',
  showDevice: 'devices',
  listDrivers: 'drivers',
  showDriver: 'drivers',
  showDeployment: 'drivers',
  listEvents: 'events',
  listGrants: 'grants',
  listHosts: 'hosts',
  showHost: 'hosts',
  listInstances: 'instances',
  listJoinTokens: 'join-tokens',
  showInstance: 'instances',
  listOperations: 'operations',
  showOperation: 'operations',
  listProfiles: 'profiles',
  showProfile: 'profiles',
  showQuota: 'quotas',
  listServices: 'services',
  showService: 'services',
  showSummary: 'summary',
  listUnclaimed: 'unclaimed',
} as const satisfies Partial<Record<OperationName, Noun>>;

export type ReadName = keyof typeof nounOf;

/** By the part of an event's kind before the dot. */
export const nounsOfEvent: Readonly<Record<string, readonly Noun[]>> = {
  accelerator: ['accelerators', 'backends', 'devices', 'services', 'summary'],
  attachment: ['attachments', 'accelerators', 'instances', 'quotas', 'summary'],
  attribute: ['devices'],
  backend: ['backends', 'services', 'summary'],
  deployable: ['devices', 'accelerators'],
  device: ['devices', 'accelerators'],
  driver: ['drivers', 'backends'],
  // What is granted is seen from then on, and what is taken back no more.
  grant: ['backends', 'drivers', 'grants', 'hosts', 'services', 'summary'],
  host: ['hosts', 'join-tokens', 'services', 'summary'],
  installation: ['drivers', 'backends'],
  instance: ['instances', 'attachments'],
  'join-token': ['join-tokens'],
  operation: ['operations'],
  profile: ['profiles'],
  program: ['devices', 'accelerators'],
  quota: ['quotas'],
  release: ['hosts', 'summary'],
  service: ['services'],
  unclaimed: ['unclaimed', 'summary'],
};
