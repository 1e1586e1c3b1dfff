/**
 * Method and path of every operation, apart from the schemas: all that a client needs at run time, so that neither the
 * CLI nor a browser has to load TypeBox. The schemas in v3/, agent/ and agent.ts are built on these.
 */
export const v3Routes = {
  listDrivers: { method: 'GET', url: '/v3/drivers' },
  uploadDriver: { method: 'POST', url: '/v3/drivers' },
  showDriver: { method: 'GET', url: '/v3/drivers/:driver_id' },
  approveDriverVersion: {
    method: 'POST',
    url: '/v3/drivers/:driver_id/versions/:version/approve',
  },
  putConformanceReport: {
    method: 'PUT',
    url: '/v3/drivers/:driver_id/versions/:version/conformance',
  },
  deleteDriverVersion: { method: 'DELETE', url: '/v3/drivers/:driver_id/versions/:version' },
  showDeployment: { method: 'GET', url: '/v3/drivers/:driver_id/deployment' },
  installDriver: { method: 'PUT', url: '/v3/drivers/:driver_id/deployment' },
  updateDriver: { method: 'PATCH', url: '/v3/drivers/:driver_id/deployment' },
  uninstallDriver: { method: 'DELETE', url: '/v3/drivers/:driver_id/deployment' },
  listHosts: { method: 'GET', url: '/v3/hosts' },
  showHost: { method: 'GET', url: '/v3/hosts/:host' },
  updateHost: { method: 'PATCH', url: '/v3/hosts/:host' },
  deleteHost: { method: 'DELETE', url: '/v3/hosts/:host' },
  revokeHost: { method: 'POST', url: '/v3/hosts/:host/revoke' },
  reenrollHost: { method: 'POST', url: '/v3/hosts/:host/reenroll' },
  createJoinToken: { method: 'POST', url: '/v3/join-tokens' },
  listJoinTokens: { method: 'GET', url: '/v3/join-tokens' },
  deleteJoinToken: { method: 'DELETE', url: '/v3/join-tokens/:id' },
  listBackends: { method: 'GET', url: '/v3/backends' },
  showBackend: { method: 'GET', url: '/v3/backends/:backend' },
  updateBackend: { method: 'PATCH', url: '/v3/backends/:backend' },
  restartBackend: { method: 'POST', url: '/v3/backends/:backend/restart' },
  listServices: { method: 'GET', url: '/v3/services' },
  showService: { method: 'GET', url: '/v3/services/:id' },
  updateService: { method: 'PATCH', url: '/v3/services/:id' },
  createDiscovery: { method: 'POST', url: '/v3/discoveries' },
  listDevices: { method: 'GET', url: '/v3/devices' },
  showDevice: { method: 'GET', url: '/v3/devices/:id' },
  listAccelerators: { method: 'GET', url: '/v3/accelerators' },
  showAccelerator: { method: 'GET', url: '/v3/accelerators/:id' },
  listAcceleratorAttachments: { method: 'GET', url: '/v3/accelerators/:id/attachments' },
  createAccelerator: { method: 'POST', url: '/v3/accelerators' },
  updateAccelerator: { method: 'PATCH', url: '/v3/accelerators/:id' },
  deleteAccelerator: { method: 'DELETE', url: '/v3/accelerators/:id' },
  identifyAccelerator: { method: 'POST', url: '/v3/accelerators/:id/identify' },
  programAccelerator: { method: 'POST', url: '/v3/accelerators/:id/program' },
  uploadProgram: { method: 'POST', url: '/v3/program-images' },
  listInstances: { method: 'GET', url: '/v3/instances' },
  showInstance: { method: 'GET', url: '/v3/instances/:instance_id' },
  updateInstance: { method: 'PATCH', url: '/v3/instances/:instance_id' },
  listAttachments: { method: 'GET', url: '/v3/instances/:instance_id/attachments' },
  createAttachments: { method: 'POST', url: '/v3/instances/:instance_id/attachments' },
  deleteAttachments: { method: 'DELETE', url: '/v3/instances/:instance_id/attachments' },
  listUnclaimed: { method: 'GET', url: '/v3/unclaimed' },
  releaseUnclaimed: { method: 'POST', url: '/v3/unclaimed/:id/release' },
  adoptUnclaimed: { method: 'POST', url: '/v3/unclaimed/:id/adopt' },
  listProfiles: { method: 'GET', url: '/v3/device-profiles' },
  showProfile: { method: 'GET', url: '/v3/device-profiles/:profile' },
  createProfile: { method: 'POST', url: '/v3/device-profiles' },
  deleteProfile: { method: 'DELETE', url: '/v3/device-profiles/:profile' },
  showQuota: { method: 'GET', url: '/v3/quotas/:project_id' },
  updateQuota: { method: 'PUT', url: '/v3/quotas/:project_id' },
  listGrants: { method: 'GET', url: '/v3/grants' },
  createGrant: { method: 'POST', url: '/v3/grants' },
  deleteGrant: { method: 'DELETE', url: '/v3/grants/:id' },
  listOperations: { method: 'GET', url: '/v3/operations' },
  showOperation: { method: 'GET', url: '/v3/operations/:id' },
  cancelOperation: { method: 'POST', url: '/v3/operations/:id/cancel' },
  listEvents: { method: 'GET', url: '/v3/events' },
  showSummary: { method: 'GET', url: '/v3/summary' },
  showCaller: { method: 'GET', url: '/v3/caller' },
} as const;

export type V3OperationName = keyof typeof v3Routes;

/** Of the console alone; not in the OpenAPI document. */
export const consoleRoutes = {
  showSession: { method: 'GET', url: '/console/session' },
  signIn: { method: 'POST', url: '/console/session' },
  renew: { method: 'POST', url: '/console/session/renew' },
  signOut: { method: 'DELETE', url: '/console/session' },
} as const;

export const agentRoutes = {
  enroll: { method: 'POST', url: '/agent/v1/enroll' },
  renewLease: { method: 'POST', url: '/agent/v1/lease' },
  offerInventories: { method: 'POST', url: '/agent/v1/inventories' },
  putInventory: { method: 'PUT', url: '/agent/v1/inventories/:backend_id' },
  showDesired: { method: 'GET', url: '/agent/v1/desired' },
  listHeld: { method: 'GET', url: '/agent/v1/held' },
  report: { method: 'POST', url: '/agent/v1/reports' },
} as const;

/** Bytes, no JSON: the program image of this digest, for the host that is to write it now. */
export const agentImageUrl = '/agent/v1/images/:sha256';

/** Bytes, no JSON: the driver package of this digest (in hexadecimal), for a host that is to run it. */
export const agentPackageUrl = '/agent/v1/driver-packages/:sha512';

/** What the body of `uploadDriver` is sent as. */
export const packageMediaTypes = ['application/gzip', 'application/octet-stream'] as const;

/** Of the body of `putConformanceReport`. */
export const conformanceReportBytesMax = 256 * 1024;

export type AgentOperationName = keyof typeof agentRoutes;
