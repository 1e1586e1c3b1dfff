/** Which things each reading is about: what an event is about makes these readings old. */
import type { v3Routes } from '@cyborg/api-client/routes';

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
const nounsOfEvent = {
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
} as const satisfies Readonly<Record<string, readonly Noun[]>>;

type Family = keyof typeof nounsOfEvent;

export function nounsOfFamily(family: string): readonly Noun[] {
  return Object.hasOwn(nounsOfEvent, family) ? nounsOfEvent[family as Family] : [];
}

/** Those that change something. */
export type ActName = {
  [Name in OperationName]: (typeof v3Routes)[Name]['method'] extends 'GET' ? never : Name;
}[OperationName];

/** The families of the events that follow each act: it makes old what they do. */
const familiesOfAct = {
  uploadDriver: ['driver'],
  approveDriverVersion: ['driver'],
  deleteDriverVersion: ['driver'],
  putConformanceReport: ['driver'],
  installDriver: ['driver', 'operation'],
  updateDriver: ['driver', 'operation'],
  uninstallDriver: ['driver', 'backend', 'accelerator', 'operation'],
  updateHost: ['host'],
  deleteHost: [
    'host',
    'backend',
    'accelerator',
    'device',
    'instance',
    'unclaimed',
    'driver',
    'grant',
  ],
  revokeHost: ['host'],
  reenrollHost: ['host'],
  createJoinToken: ['join-token'],
  deleteJoinToken: ['join-token'],
  updateBackend: ['backend'],
  restartBackend: ['backend', 'operation'],
  updateService: ['service'],
  createDiscovery: ['operation'],
  createAccelerator: ['accelerator'],
  updateAccelerator: ['accelerator'],
  deleteAccelerator: ['accelerator'],
  identifyAccelerator: ['accelerator', 'device'],
  programAccelerator: ['accelerator', 'operation'],
  uploadProgram: ['program'],
  updateInstance: ['instance'],
  createAttachments: ['attachment', 'operation'],
  deleteAttachments: ['attachment', 'operation'],
  releaseUnclaimed: ['unclaimed', 'operation'],
  adoptUnclaimed: ['unclaimed', 'attachment'],
  createProfile: ['profile'],
  deleteProfile: ['profile'],
  updateQuota: ['quota'],
  createGrant: ['grant'],
  deleteGrant: ['grant'],
  cancelOperation: ['operation'],
} as const satisfies Record<ActName, readonly Family[]>;

export function nounsOfAct(name: ActName): ReadonlySet<Noun> {
  return new Set(familiesOfAct[name].flatMap((family): readonly Noun[] => nounsOfEvent[family]));
}
