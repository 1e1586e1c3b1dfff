/** Every command: its group and sentence for `cyborg --help`, and where it is, loaded when it is run. */
import type { Command } from './command.ts';

export interface Entry {
  readonly group: Group;
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

export const groups = [
  'Drivers',
  'Accelerators',
  'Instances',
  'Fleet',
  'Access',
  'History',
] as const;
type Group = (typeof groups)[number];

export const catalogue: Readonly<Record<string, Entry>> = {
  'driver-list': {
    group: 'Drivers',
    summary: 'List drivers and where they are installed',
    load: async () => (await import('./commands/drivers.ts')).driverList,
  },
  'driver-show': {
    group: 'Drivers',
    summary: 'Show a driver, its versions and kinds of backend',
    load: async () => (await import('./commands/drivers.ts')).driverShow,
  },
  'driver-upload': {
    group: 'Drivers',
    summary: 'Upload a driver package',
    load: async () => (await import('./commands/driver-packages.ts')).driverUpload,
  },
  'driver-approve': {
    group: 'Drivers',
    summary: 'Approve a version of a driver, so that it can be installed',
    load: async () => (await import('./commands/driver-packages.ts')).driverApprove,
  },
  'driver-conformance': {
    group: 'Drivers',
    summary: 'Put the report of driver-test on an uploaded version',
    load: async () => (await import('./commands/driver-conformance.ts')).driverConformance,
  },
  'driver-delete': {
    group: 'Drivers',
    summary: 'Delete an uploaded version of a driver',
    load: async () => (await import('./commands/driver-packages.ts')).driverDelete,
  },
  'driver-pack': {
    group: 'Drivers',
    summary: 'Make a package of the folder of a driver',
    load: async () => (await import('./commands/driver-packages.ts')).driverPack,
  },
  'driver-sign': {
    group: 'Drivers',
    summary: 'Sign a driver package',
    load: async () => (await import('./commands/driver-packages.ts')).driverSign,
  },
  'install-driver': {
    group: 'Drivers',
    summary: 'Install a driver, or add a backend to an installed one',
    load: async () => (await import('./commands/install-driver.ts')).installDriver,
  },
  'update-driver': {
    group: 'Drivers',
    summary: 'Change the version of a driver, or settings of a backend',
    load: async () => (await import('./commands/update-driver.ts')).updateDriver,
  },
  'uninstall-driver': {
    group: 'Drivers',
    summary: 'Uninstall a driver everywhere, from hosts, or one backend of it',
    load: async () => (await import('./commands/uninstall-driver.ts')).uninstallDriver,
  },
  'deployment-show': {
    group: 'Drivers',
    summary: 'Show where a driver is installed, with which backends',
    load: async () => (await import('./commands/drivers.ts')).deploymentShow,
  },
  'discover-services': {
    group: 'Drivers',
    summary: 'Have backends look for their hardware again, now',
    load: async () => (await import('./commands/services.ts')).discoverServices,
  },
  'driver-new': {
    group: 'Drivers',
    summary: 'Begin a driver for a PCI card: a folder with all that it needs',
    load: async () => (await import('./commands/driver-new.ts')).driverNew,
  },
  'driver-test': {
    group: 'Drivers',
    summary: 'Try a driver on every clause of the driver protocol, without hardware',
    load: async () => (await import('./commands/driver-test.ts')).driverTest,
  },
  'service-list': {
    group: 'Drivers',
    summary: 'List services: what runs and what is offered',
    load: async () => (await import('./commands/services.ts')).serviceList,
  },
  'service-update': {
    group: 'Drivers',
    summary: 'Enable or disable a function or daemon',
    load: async () => (await import('./commands/services.ts')).serviceUpdate,
  },
  'accelerator-list': {
    group: 'Accelerators',
    summary: 'List accelerators and who holds them',
    load: async () => (await import('./commands/accelerators.ts')).acceleratorList,
  },
  'accelerator-show': {
    group: 'Accelerators',
    summary: 'Show an accelerator',
    load: async () => (await import('./commands/accelerators.ts')).acceleratorShow,
  },
  'accelerator-create': {
    group: 'Accelerators',
    summary: 'Put one more accelerator on offer',
    load: async () => (await import('./commands/accelerator-changes.ts')).acceleratorCreate,
  },
  'accelerator-update': {
    group: 'Accelerators',
    summary: 'Name, label, offer, withhold, reserve or program an accelerator',
    load: async () => (await import('./commands/accelerator-changes.ts')).acceleratorUpdate,
  },
  'accelerator-delete': {
    group: 'Accelerators',
    summary:
      'Take back what accelerator-create made, or off the list what is gone; refused while held',
    load: async () => (await import('./commands/accelerator-changes.ts')).acceleratorDelete,
  },
  'attach-instance': {
    group: 'Instances',
    summary: 'Attach accelerators to an instance',
    load: async () => (await import('./commands/attachments.ts')).attachInstance,
  },
  'detach-instance': {
    group: 'Instances',
    summary: 'Detach accelerators from an instance; done when they are clean',
    load: async () => (await import('./commands/attachments.ts')).detachInstance,
  },
  'attachment-list': {
    group: 'Instances',
    summary: 'List what an instance holds',
    load: async () => (await import('./commands/attachments.ts')).attachmentList,
  },
  'instance-list': {
    group: 'Instances',
    summary: 'List instances',
    load: async () => (await import('./commands/instances.ts')).instanceList,
  },
  'instance-show': {
    group: 'Instances',
    summary: 'Show an instance',
    load: async () => (await import('./commands/instances.ts')).instanceShow,
  },
  'instance-update': {
    group: 'Instances',
    summary: 'Say which project a stand-alone instance belongs to',
    load: async () => (await import('./commands/instances.ts')).instanceUpdate,
  },
  'unclaimed-list': {
    group: 'Instances',
    summary: 'List devices of ours in guests that the ledger does not know',
    load: async () => (await import('./commands/unclaimed.ts')).unclaimedList,
  },
  'unclaimed-release': {
    group: 'Instances',
    summary: 'Have the host unplug an unclaimed device',
    load: async () => (await import('./commands/unclaimed.ts')).unclaimedRelease,
  },
  'unclaimed-adopt': {
    group: 'Instances',
    summary: 'Enter an unclaimed device in the ledger as an attachment',
    load: async () => (await import('./commands/unclaimed.ts')).unclaimedAdopt,
  },
  'host-list': {
    group: 'Fleet',
    summary: 'List hosts',
    load: async () => (await import('./commands/hosts.ts')).hostList,
  },
  'host-show': {
    group: 'Fleet',
    summary: 'Show a host',
    load: async () => (await import('./commands/hosts.ts')).hostShow,
  },
  'host-update': {
    group: 'Fleet',
    summary: 'Enable or disable a host, or label it',
    load: async () => (await import('./commands/hosts.ts')).hostUpdate,
  },
  'host-delete': {
    group: 'Fleet',
    summary: 'Take a host that is no more out of the ledger, with all that it had',
    load: async () => (await import('./commands/hosts.ts')).hostDelete,
  },
  'host-revoke': {
    group: 'Fleet',
    summary: "Revoke the credential of a host's agent; attachments stay",
    load: async () => (await import('./commands/hosts.ts')).hostRevoke,
  },
  'host-reenroll': {
    group: 'Fleet',
    summary: "Revoke a host's credential and make a join token for it; attachments stay",
    load: async () => (await import('./commands/hosts.ts')).hostReenroll,
  },
  'join-token-create': {
    group: 'Fleet',
    summary: 'Make a join token for a new host',
    load: async () => (await import('./commands/join-tokens.ts')).joinTokenCreate,
  },
  'join-token-list': {
    group: 'Fleet',
    summary: 'List join tokens that a host may still use',
    load: async () => (await import('./commands/join-tokens.ts')).joinTokenList,
  },
  'join-token-delete': {
    group: 'Fleet',
    summary: 'Take a join token back; a host that has joined stays',
    load: async () => (await import('./commands/join-tokens.ts')).joinTokenDelete,
  },
  'backend-list': {
    group: 'Fleet',
    summary: 'List backends',
    load: async () => (await import('./commands/backends.ts')).backendList,
  },
  'backend-show': {
    group: 'Fleet',
    summary: 'Show a backend',
    load: async () => (await import('./commands/backends.ts')).backendShow,
  },
  'backend-update': {
    group: 'Fleet',
    summary: 'Enable or disable a backend: a disabled one gives out nothing new',
    load: async () => (await import('./commands/backends.ts')).backendUpdate,
  },
  'backend-restart': {
    group: 'Fleet',
    summary: "Restart a backend's driver on its host, also one in quarantine",
    load: async () => (await import('./commands/backends.ts')).backendRestart,
  },
  'device-list': {
    group: 'Fleet',
    summary: 'List devices: the physical cards',
    load: async () => (await import('./commands/devices.ts')).deviceList,
  },
  'device-show': {
    group: 'Fleet',
    summary: 'Show a device',
    load: async () => (await import('./commands/devices.ts')).deviceShow,
  },
  'profile-list': {
    group: 'Access',
    summary: 'List device profiles',
    load: async () => (await import('./commands/profiles.ts')).profileList,
  },
  'profile-show': {
    group: 'Access',
    summary: 'Show a device profile',
    load: async () => (await import('./commands/profiles.ts')).profileShow,
  },
  'profile-create': {
    group: 'Access',
    summary: 'Create a device profile',
    load: async () => (await import('./commands/profiles.ts')).profileCreate,
  },
  'profile-delete': {
    group: 'Access',
    summary: 'Delete a device profile',
    load: async () => (await import('./commands/profiles.ts')).profileDelete,
  },
  'quota-show': {
    group: 'Access',
    summary: "Show a project's quota and use",
    load: async () => (await import('./commands/quotas.ts')).quotaShow,
  },
  'quota-set': {
    group: 'Access',
    summary: 'Set how many accelerators of a type a project may hold',
    load: async () => (await import('./commands/quotas.ts')).quotaSet,
  },
  'grant-list': {
    group: 'Access',
    summary: 'List which projects may manage which hosts and backends',
    load: async () => (await import('./commands/grants.ts')).grantList,
  },
  'grant-create': {
    group: 'Access',
    summary: "Grant a host, or one backend of it, to a project's managers",
    load: async () => (await import('./commands/grants.ts')).grantCreate,
  },
  'grant-delete': {
    group: 'Access',
    summary: 'Take a grant back; attachments stay',
    load: async () => (await import('./commands/grants.ts')).grantDelete,
  },
  'caller-show': {
    group: 'Access',
    summary: 'Show who the server takes you for',
    load: async () => (await import('./commands/caller.ts')).callerShow,
  },
  'operation-list': {
    group: 'History',
    summary: 'List operations, newest first',
    load: async () => (await import('./commands/operations.ts')).operationList,
  },
  'operation-show': {
    group: 'History',
    summary: 'Show an operation, or wait for its end',
    load: async () => (await import('./commands/operations.ts')).operationShow,
  },
  'operation-cancel': {
    group: 'History',
    summary: 'Cancel an operation',
    load: async () => (await import('./commands/operations.ts')).operationCancel,
  },
  'event-list': {
    group: 'History',
    summary: 'List events, or follow them',
    load: async () => (await import('./commands/events.ts')).eventList,
  },
};
