/** Whether Nova's word on a server lets something be attached to it. */
import { ServiceError } from '@cyborg/model/errors';
import { isBusyTask, wayToAttach } from '@cyborg/model/nova-operations';
import type { AttachContextRow } from '@cyborg/store/attach-context';

const retryAfterSeconds = 2;

/** @throws ServiceError `instance-not-ready` naming state and way out; `host-not-ready` when Nova has it elsewhere. */
export function checkServer(row: AttachContextRow, { isAdmin }: { isAdmin: boolean }): void {
  const { server, name } = row;
  if (server === null) return;
  if (server.is_gone) throw notReady(`Instance ${name} is deleted in Nova.`);
  const way = wayToAttach(server.status);
  if (way !== undefined) {
    throw notReady(`Instance ${name} is ${server.status} in Nova: ${way}, then attach.`);
  }
  if (isBusyTask(server.task_state)) {
    throw notReady(
      `Nova is at instance ${name} just now (${server.task_state}): try again when it is done.`,
      { retry_after_seconds: retryAfterSeconds },
    );
  }
  if (server.is_locked && !isAdmin) {
    throw notReady(
      `Instance ${name} is locked in Nova: unlock it (openstack server unlock), then attach.`,
    );
  }
  checkPlace(row, server);
}

function checkPlace(
  { name, host, host_node_name, host_service_host }: AttachContextRow,
  server: NonNullable<AttachContextRow['server']>,
): void {
  const isSameNode = server.node_name === null || server.node_name === host_node_name;
  const isSameHost =
    server.host === null || host_service_host === null || server.host === host_service_host;
  if (isSameNode && isSameHost) return;
  throw new ServiceError(
    'host-not-ready',
    `Nova has instance ${name} on another host than ${host}, whose hypervisor reports it: try again when it has been moved; ` +
      'if it has not, an admin compares node_name and service_host of the host ("cyborg host-show") with Nova’s.',
  );
}

function notReady(message: string, extra?: Readonly<Record<string, unknown>>): ServiceError {
  return new ServiceError('instance-not-ready', message, extra === undefined ? {} : { extra });
}
