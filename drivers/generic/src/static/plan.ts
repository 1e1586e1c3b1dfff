/** How a declared accelerator is plugged: the form of a plan, and what of the host it stands for. */
import { formatPciAddress, parsePciAddress, toAttachInfo } from '@cyborg/driver-sdk/pci';
import type { AttachPlan } from '@cyborg/driver-sdk/protocol';
import { entropySources } from '../entropy-sources.ts';

const pciAddressPattern = '[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\\.[0-7]';

export const planSchema = {
  description: 'How it is plugged into an instance. Absent: it is listed but cannot be attached.',
  anyOf: [
    {
      type: 'object',
      required: ['kind', 'address'],
      properties: {
        kind: { const: 'pci' },
        address: {
          type: 'string',
          pattern: `^${pciAddressPattern}$`,
          description: 'a PCI address, such as 0000:21:00.0 or 10000:e1:00.0',
        },
      },
      additionalProperties: false,
    },
    {
      type: 'object',
      required: ['kind', 'uuid', 'parent', 'type'],
      properties: {
        kind: { const: 'mdev' },
        uuid: {
          type: 'string',
          pattern: '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$',
          description: 'the UUID of the mediated device',
        },
        parent: {
          type: 'string',
          pattern: `^(${pciAddressPattern}|[A-Za-z][A-Za-z0-9_-]{0,62})$`,
          description: 'a PCI address, such as 0000:21:00.0, or the name of a device, such as mtty',
        },
        type: {
          type: 'string',
          pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$',
          description: 'a type as mdev_supported_types of the parent names it, such as nvidia-35',
        },
      },
      additionalProperties: false,
    },
    {
      type: 'object',
      required: ['kind', 'bus', 'port'],
      properties: {
        kind: { const: 'usb' },
        bus: { type: 'integer', minimum: 0, maximum: 999 },
        port: {
          type: 'string',
          pattern: '^[0-9]{1,3}(\\.[0-9]{1,3}){0,6}$',
          description: 'a path of port numbers, such as 1.4',
        },
      },
      additionalProperties: false,
    },
    {
      type: 'object',
      required: ['kind', 'queues'],
      properties: {
        kind: { const: 'virtio-crypto' },
        queues: { type: 'integer', minimum: 1, maximum: 64 },
      },
      additionalProperties: false,
    },
    {
      type: 'object',
      required: ['kind', 'source'],
      properties: {
        kind: { const: 'virtio-rng' },
        source: { enum: entropySources },
        max_bytes: { type: 'integer', minimum: 1 },
        period_ms: { type: 'integer', minimum: 1 },
      },
      additionalProperties: false,
    },
    {
      type: 'object',
      required: ['kind', 'socket', 'queues'],
      properties: {
        kind: { const: 'vhost-user-blk' },
        socket: {
          type: 'string',
          pattern: '^/[A-Za-z0-9._/-]{1,106}$',
          description: 'the absolute path of a socket',
        },
        queues: { type: 'integer', minimum: 1 },
      },
      additionalProperties: false,
    },
  ],
} as const;

/** As the kernel writes it: lower case, no leading zeros of the domain beyond four digits. */
export function normalPlan(plan: AttachPlan): AttachPlan {
  switch (plan.kind) {
    case 'pci':
      return { ...plan, address: normalAddress(plan.address) };
    case 'mdev':
      return { ...plan, uuid: plan.uuid.toLowerCase(), parent: normalAddress(plan.parent) };
    case 'usb':
    case 'virtio-crypto':
    case 'virtio-rng':
    case 'vhost-user-blk':
    case 'test-pci':
      return plan;
  }
}

function normalAddress(text: string): string {
  const parsed = parsePciAddress(text);
  return parsed === undefined ? text : formatPciAddress(parsed);
}

/** v2's attach handle; it also tells the server which two accelerators are the same thing. */
export function attachInfoOf(plan: AttachPlan): Record<string, string> {
  switch (plan.kind) {
    case 'pci': {
      const parsed = parsePciAddress(plan.address);
      return parsed === undefined ? {} : toAttachInfo(parsed);
    }
    case 'mdev':
      return { uuid: plan.uuid, parent: plan.parent, asked_type: plan.type };
    case 'usb':
      return { usb_bus: String(plan.bus), usb_port: plan.port };
    case 'vhost-user-blk':
      return { socket: plan.socket };
    case 'virtio-crypto':
    case 'virtio-rng':
    case 'test-pci':
      return {};
  }
}

/** What only one can have: the thing itself, and for a part of a function that function, which nobody may have whole. */
export function claimOf(plan: AttachPlan): { readonly whole?: string; readonly part?: string } {
  switch (plan.kind) {
    case 'pci':
      return { whole: `PCI function ${plan.address}` };
    case 'mdev':
      return { whole: `mediated device ${plan.uuid}`, part: `PCI function ${plan.parent}` };
    case 'usb':
      return { whole: `USB device ${plan.bus}-${plan.port}` };
    case 'vhost-user-blk':
      return { whole: `socket ${plan.socket}` };
    case 'virtio-crypto':
    case 'virtio-rng':
    case 'test-pci':
      return {};
  }
}
