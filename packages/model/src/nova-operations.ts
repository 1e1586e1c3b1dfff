/**
 * What each of Nova's operations does to what an instance holds, by its origin: bound at boot (`nova`), or attached to
 * the running instance (`cyborg`). docs/reference/nova-operations.md shows the same table; a test compares.
 */

/**
 * - `kept`: the guest has it all the time, or again as soon as it runs.
 * - `absent`: it stays the instance's, but the guest is without it until the operation is undone.
 * - `plugged again`: the guest loses it for a moment: Nova writes the machine anew, and our agent plugs it again.
 * - `by nova`: as `plugged again`, and Nova itself writes it into the new machine.
 * - `released`: the instance loses it, with an event; it is cleaned and free again.
 * - `refused`: Nova refuses the operation because of it.
 */
export type NovaEffect = 'kept' | 'absent' | 'plugged again' | 'by nova' | 'released' | 'refused';

export interface NovaOperation {
  readonly name: string;
  /** Nova's status afterwards; a lock and what happens to hosts leave it as it is. */
  readonly status: string | null;
  /** Of what was bound at boot. */
  readonly nova: NovaEffect;
  /** Of what was attached while it ran. */
  readonly cyborg: NovaEffect;
  /** What is special about it. */
  readonly note?: string;
}

export const novaOperations: readonly NovaOperation[] = [
  { name: 'pause', status: 'PAUSED', nova: 'kept', cyborg: 'kept' },
  { name: 'unpause', status: 'ACTIVE', nova: 'kept', cyborg: 'kept' },
  {
    name: 'suspend',
    status: 'SUSPENDED',
    nova: 'refused',
    cyborg: 'kept',
    note: 'A passed-through PCI function keeps the hypervisor from saving the machine; detach it first.',
  },
  { name: 'resume', status: 'ACTIVE', nova: 'kept', cyborg: 'kept' },
  { name: 'stop', status: 'SHUTOFF', nova: 'kept', cyborg: 'kept' },
  { name: 'start', status: 'ACTIVE', nova: 'by nova', cyborg: 'plugged again' },
  {
    name: 'soft reboot',
    status: 'ACTIVE',
    nova: 'by nova',
    cyborg: 'kept',
    note: 'A guest that does not shut down in time is rebooted hard: plugged again.',
  },
  { name: 'hard reboot', status: 'ACTIVE', nova: 'by nova', cyborg: 'plugged again' },
  {
    name: 'rescue',
    status: 'RESCUE',
    nova: 'absent',
    cyborg: 'plugged again',
    note: 'The rescue machine is a new one of the same instance: what was attached is plugged into it too.',
  },
  { name: 'unrescue', status: 'ACTIVE', nova: 'by nova', cyborg: 'plugged again' },
  { name: 'rebuild', status: 'ACTIVE', nova: 'by nova', cyborg: 'plugged again' },
  {
    name: 'shelve',
    status: 'SHELVED_OFFLOADED',
    nova: 'released',
    cyborg: 'absent',
    note: 'With something bound at boot, Nova ends all of the instance’s accelerator requests, and what was attached is released too. Otherwise it waits on its host: unshelved there it is plugged again, elsewhere it is not; detach it to free it.',
  },
  {
    name: 'unshelve',
    status: 'ACTIVE',
    nova: 'by nova',
    cyborg: 'plugged again',
    note: 'Bound at boot: Nova makes new requests from the device profile.',
  },
  {
    name: 'resize, cold migration',
    status: 'VERIFY_RESIZE',
    nova: 'refused',
    cyborg: 'absent',
    note: 'Detach before. On another host it is not plugged; it stays the instance’s on the host it is on until it is detached.',
  },
  {
    name: 'live migration',
    status: 'ACTIVE',
    nova: 'refused',
    cyborg: 'absent',
    note: 'Detach before. A virtio device may go along: on the new host it is unclaimed, never a second attachment.',
  },
  {
    name: 'evacuate',
    status: 'ACTIVE',
    nova: 'released',
    cyborg: 'absent',
    note: 'Bound at boot: Nova ends its requests, and with them what was attached, and makes new ones. What the dead host had is cleaned when its agent is back.',
  },
  {
    name: 'soft-delete',
    status: 'SOFT_DELETED',
    nova: 'kept',
    cyborg: 'kept',
    note: 'Restored, the server has what it had.',
  },
  { name: 'delete', status: 'DELETED', nova: 'released', cyborg: 'released' },
  {
    name: 'lock',
    status: null,
    nova: 'kept',
    cyborg: 'kept',
    note: 'Only an admin attaches to a locked server; detaching is possible.',
  },
  {
    name: 'host down',
    status: null,
    nova: 'kept',
    cyborg: 'kept',
    note: 'Nothing is concluded from a host that does not answer.',
  },
  {
    name: 'host deleted',
    status: null,
    nova: 'kept',
    cyborg: 'kept',
    note: 'Of the compute service in Nova: what its servers hold stays until they are deleted.',
  },
];

/** What can be done with a server in this status, so that it can be given something. */
const waysOut: Readonly<Record<string, string>> = {
  BUILD: 'wait until it is built',
  SHUTOFF: 'start it (openstack server start)',
  SUSPENDED: 'resume it (openstack server resume)',
  RESCUE: 'end the rescue (openstack server unrescue)',
  SHELVED: 'unshelve it (openstack server unshelve)',
  SHELVED_OFFLOADED: 'unshelve it (openstack server unshelve)',
  VERIFY_RESIZE: 'confirm or revert the resize (openstack server resize confirm)',
  RESIZE: 'wait until it is resized, then confirm',
  REVERT_RESIZE: 'wait until it is back',
  MIGRATING: 'wait until it has been moved',
  REBOOT: 'wait until it is up',
  HARD_REBOOT: 'wait until it is up',
  REBUILD: 'wait until it is rebuilt',
  PASSWORD: 'wait until its password is set',
  SOFT_DELETED: 'restore it (openstack server restore)',
  ERROR: 'repair it (openstack server reboot --hard, or an admin resets its state)',
};

/** Statuses in which something can be attached. */
export const attachableStatuses: readonly string[] = ['ACTIVE', 'PAUSED'];

/** Statuses that mean that there is no such server any more. */
export const goneStatuses: readonly string[] = novaOperations.flatMap(({ status, cyborg }) =>
  cyborg === 'released' && status !== null ? [status] : [],
);

export function isGoneStatus(status: string): boolean {
  return goneStatuses.includes(status);
}

/** What to do so that something can be attached; undefined when it can be. */
export function wayToAttach(status: string): string | undefined {
  if (attachableStatuses.includes(status)) return undefined;
  return waysOut[status] ?? 'wait until it is ACTIVE';
}

/** What Nova may be doing with a server while something is attached to it: it only reads. */
const harmlessTasks: readonly string[] = ['image_pending_upload', 'image_uploading'];

export function isBusyTask(task: string | null): boolean {
  return task !== null && !harmlessTasks.includes(task);
}
