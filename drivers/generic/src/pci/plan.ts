/** How an accelerator of the inventory is plugged, and why it may not be. */
import type { DriverContext } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { AttachPlan, DriverAccelerator, Inventory } from '@cyborg/driver-sdk/protocol';
import { mdevUuid } from './mdev.ts';

type Context = Pick<DriverContext, 'host' | 'simulated'> & { readonly backend: string };

export interface Found {
  readonly accelerator: DriverAccelerator;
}

export function findIn(inventory: Inventory | undefined, key: string): Found | undefined {
  const parts = inventory?.devices.flatMap((device) => device.deployables) ?? [];
  const accelerator = parts
    .flatMap(({ accelerators }) => accelerators)
    .find((item) => item.key === key);
  return accelerator && { accelerator };
}

export interface PlanRequest {
  readonly key: string;
  readonly plugs: readonly string[];
  readonly accelerator: DriverAccelerator | undefined;
}

/** @throws DriverError when it cannot be given. */
export function planOf(context: Context, { key, plugs, accelerator }: PlanRequest): AttachPlan {
  if (accelerator === undefined) throw gone(context, key);
  const { name, obstacle = null, host_use: use } = accelerator;
  if (use !== null) throw new DriverError('host-use', `${name}: ${use}`);
  const plan = toPlan(context, accelerator);
  const isKept = !context.simulated && obstacle !== null;
  if (plan === undefined || isKept) {
    throw new DriverError('unsupported', `${name}: ${obstacle ?? 'it has no plan'}`);
  }
  if (plugs.includes(plan.kind)) return plan;
  const offer = plugs.join(', ') || 'nothing';
  throw new DriverError(
    'unsupported',
    `${key} needs ${plan.kind}; the instance's hypervisor can plug ${offer}`,
  );
}

export function toPlan(
  { host }: Context,
  { key, plans, attach_info: info }: DriverAccelerator,
): AttachPlan | undefined {
  const { domain = '', bus = '', device = '', function: fn = '', asked_type: type } = info;
  const address = `${domain}:${bus}:${device}.${fn}`;
  if (plans.includes('pci')) return { kind: 'pci', address };
  if (!plans.includes('mdev') || type === undefined) return undefined;
  return { kind: 'mdev', uuid: mdevUuid(host.node_name, key), parent: address, type };
}

export function gone({ backend }: Context, key: string): DriverError {
  return new DriverError('gone', `backend ${backend} has no accelerator ${key}`);
}
