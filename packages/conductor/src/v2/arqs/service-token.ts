/** What only a service may do, in the name of a user (WIRE §11): instances' accelerators are the Compute API's. */
import type { Caller } from '@cyborg/model/caller';
import { V2Fault } from '@cyborg/model/v2/fault';
import type { AttachmentRow } from '@cyborg/store/holdings';

/** @throws V2Fault 403 for a request without a valid service token. */
export function needServiceToken(caller: Caller): void {
  if (caller.isServiceRequest) return;
  throw new V2Fault(
    403,
    'This operation requires a service token. Use the Compute API to manage instance accelerators.',
  );
}

/** 403 */
export function boundToInstance(id: string, instanceId: string): V2Fault {
  return new V2Fault(
    403,
    `ARQ ${id} is bound to instance ${instanceId}. Use the Compute API to manage instance accelerators.`,
  );
}

/** 403, with the way out: what we plugged is not v2's to take from an instance that lives, not even for a service. */
export function attachedWhileRunning({ id, instance_id, accelerator_id }: AttachmentRow): V2Fault {
  const named = accelerator_id === null ? '' : ` --accelerator ${accelerator_id}`;
  return new V2Fault(
    403,
    `ARQ ${id} was attached to the running instance ${instance_id ?? ''}: detach it with "cyborg detach-instance ${instance_id ?? ''}${named}".`,
  );
}
