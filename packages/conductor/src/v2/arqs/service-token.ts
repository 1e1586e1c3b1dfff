/** What only a service may do, in the name of a user (WIRE §11): instances' accelerators are the Compute API's. */
import type { Caller } from '@cyborg/model/caller';
import { V2Fault } from '@cyborg/model/v2/fault';

/** @throws V2Fault 403 for a request without a valid service token. */
export function needServiceToken(caller: Caller): void {
  if (caller.isServiceRequest) return;
  throw new V2Fault(
    403,
    'This operation requires a service token. Use the Compute API to manage instance accelerators.',
  );
}

/** @throws V2Fault 403 */
export function boundToInstance(id: string, instanceId: string): V2Fault {
  return new V2Fault(
    403,
    `ARQ ${id} is bound to instance ${instanceId}. Use the Compute API to manage instance accelerators.`,
  );
}
