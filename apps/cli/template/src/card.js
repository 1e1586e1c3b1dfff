// Kind `card`: each card of the family is one device that is given whole, by VFIO.
import { defineKind } from '@cyborg/driver-sdk/define-driver';
import { deployableName } from '@cyborg/driver-sdk/deployable-name';
import { DriverError } from '@cyborg/driver-sdk/errors';
import { formatPciClass, toAttachInfo } from '@cyborg/driver-sdk/pci';
import { findPciCards } from '@cyborg/driver-sdk/pci-cards';

import { family, healthOf, infoOf } from './family.js';

export function cardKind({ title, config_schema: config, delegable }) {
  return defineKind({ title, config, delegable, discover, prepare, release, clean });
}

async function discover(context) {
  const cards = await findPciCards(context, context.config.ids);
  const devices = cards.map((card) => toDevice(card, context));
  const offered = devices.filter((device) => device.offered).length;
  const counts = { accelerators_total: devices.length, accelerators_offered: offered };
  const service = { name: family.service, kind: 'function', state: 'up', reason: null, ...counts };
  return { devices, services: [service] };
}

function toDevice({ key, serial, vendorId, deviceId, fn, hostUse, groupMembers }, context) {
  const health = healthOf(fn);
  const reason = reasonOf({ fn, hostUse, health }, context);
  const offered = reason === null;
  const accelerator = {
    key,
    name: `${family.type.toLowerCase()}-${fn.address}`,
    type: family.type,
    plans: ['pci'],
    offered,
    reason,
    host_use: hostUse,
    attach_info: toAttachInfo(fn.parsed),
    iommu_group: fn.iommuGroup ?? null,
    group_members: [...groupMembers],
  };
  const deployable = {
    key,
    name: deployableName(context.host.node_name, fn.address),
    resource_class: family.resourceClass,
    traits: family.traits,
    accelerators: [accelerator],
  };
  return {
    key,
    address: fn.address,
    vendor_id: vendorId,
    device_id: deviceId,
    class: fn.class === undefined ? null : formatPciClass(fn.class),
    type: family.type,
    vendor: family.vendor,
    model: family.model,
    serial,
    numa_node: fn.numaNode ?? null,
    iommu_group: fn.iommuGroup ?? null,
    kernel_driver: fn.driver ?? null,
    offered,
    reason,
    health,
    info: infoOf(fn),
    deployables: [deployable],
  };
}

/** Why a card is not given out; null: it is. */
function reasonOf({ fn, hostUse, health }, { simulated }) {
  if (hostUse !== null) return `in use by the host: ${hostUse}`.slice(0, 1024);
  if (health.status === 'failed') return health.reason;
  return fn.iommuGroup === undefined && !simulated ? 'no IOMMU group' : null;
}

async function find(context, key) {
  const cards = await findPciCards(context, context.config.ids);
  const card = cards.find((one) => one.key === key);
  if (card !== undefined) return card;
  throw new DriverError('gone', `backend ${context.backend} has no accelerator ${key}`);
}

async function prepare(context, { accelerator: key, plugs }) {
  const { fn, hostUse } = await find(context, key);
  const { address } = fn;
  if (hostUse !== null) throw new DriverError('host-use', `${address}: ${hostUse}`);
  if (!plugs.includes('pci')) {
    throw new DriverError('unsupported', `${key} is a PCI function; this instance plugs none`);
  }
  if (!context.simulated) {
    await context.ask('bind', { address, kernel_driver: 'vfio-pci', unbind: [address] });
    context.inventoryChanged();
  }
  return { kind: 'pci', address };
}

// The card stays on vfio-pci until it is clean: no driver of the host is to meet what a guest left in it.
function release() {}

async function clean(context, { accelerator: key }) {
  const { fn } = await find(context, key);
  if (context.simulated) return ['simulated'];
  const { address } = fn;
  const { method = 'the kernel' } = await context.ask('reset', { address });
  await context.ask('restore', { address });
  context.inventoryChanged();
  return [`reset by ${method}`, 'put back as it was found'];
}
