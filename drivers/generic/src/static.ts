/** Kind `static`: accelerators that an operator declares, for what no driver can find. */
import {
  defineKind,
  type BackendContext,
  type ConfigOf,
  type Kind,
  type PrepareOrder,
} from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { AttachPlan, Inventory } from '@cyborg/driver-sdk/protocol';
import { factsOfType, servicesOf } from './functions.ts';
import { toDriverDevice } from './software-device.ts';

const text = { type: 'string', minLength: 1, maxLength: 255 } as const;
const types = [
  'GPU',
  'FPGA',
  'AICHIP',
  'COPROCESSOR',
  'CRYPTO',
  'ENTROPY',
  'NIC',
  'SSD',
  'OTHER',
] as const;

const plan = {
  description: 'How it is plugged into an instance. Absent: it is listed but cannot be attached.',
  anyOf: [
    {
      type: 'object',
      required: ['kind', 'address'],
      properties: { kind: { const: 'pci' }, address: text },
      additionalProperties: false,
    },
    {
      type: 'object',
      required: ['kind', 'uuid', 'parent', 'type'],
      properties: { kind: { const: 'mdev' }, uuid: text, parent: text, type: text },
      additionalProperties: false,
    },
    {
      type: 'object',
      required: ['kind', 'bus', 'port'],
      properties: { kind: { const: 'usb' }, bus: { type: 'integer', minimum: 0 }, port: text },
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
        source: text,
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
        socket: text,
        queues: { type: 'integer', minimum: 1 },
      },
      additionalProperties: false,
    },
  ],
} as const;

const config = {
  type: 'object',
  properties: {
    accelerators: {
      type: 'array',
      maxItems: 1024,
      default: [],
      description: 'One entry for each accelerator; accelerator-create adds here.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['key', 'type'],
        properties: {
          key: {
            ...text,
            description: 'Unique within the backend; the accelerator keeps it for life.',
          },
          name: { ...text, description: 'What it is called; the key when absent.' },
          type: { enum: types, description: 'What it is.' },
          vendor: { ...text, description: 'Who made it.' },
          model: { ...text, description: 'What its maker calls it.' },
          resource_class: {
            type: 'string',
            pattern: '^[A-Z0-9_]{1,255}$',
            description: "Placement resource class; the type's own when absent.",
          },
          traits: {
            type: 'array',
            maxItems: 60,
            items: { type: 'string', pattern: '^[A-Z0-9_]{1,255}$' },
            description: 'Placement traits beside OWNER_CYBORG.',
          },
          plan,
        },
      },
    },
  },
  additionalProperties: false,
} as const;

type Config = ConfigOf<typeof config>;
type Context = BackendContext<Config>;
type Declared = Config['accelerators'][number];

export const staticKind: Kind = defineKind({
  title: 'Accelerators declared in the configuration',
  config,
  delegable: [], // it says which hardware there is: an admin's business
  install: ({ config: settings }) => {
    checkKeys(settings.accelerators);
    return { status: 'ready' };
  },
  discover: (context) => discover(context),
  prepare: (context, order) => prepare(context, order),
  release: () => undefined, // `prepare` keeps nothing on the host
  clean: (context, { accelerator }) => clean(context, accelerator),
});

function discover({ config: settings, host, backend }: Context): Inventory {
  checkKeys(settings.accelerators);
  const devices = settings.accelerators.map((item) =>
    toDriverDevice({
      key: item.key,
      deployableName: `${host.name}_${backend}_${item.key}`.slice(0, 255),
      type: item.type,
      vendor: item.vendor ?? null,
      model: item.model ?? null,
      resourceClass: item.resource_class ?? factsOfType[item.type].resourceClass,
      traits: ['OWNER_CYBORG', ...(item.traits ?? [])],
      accelerators: [{ key: item.key, name: item.name ?? item.key, plan: item.plan ?? null }],
    }),
  );
  return { devices, services: servicesOf(devices) };
}

function prepare({ config: settings, backend }: Context, order: PrepareOrder): AttachPlan {
  const item = settings.accelerators.find(({ key }) => key === order.accelerator);
  if (item === undefined) {
    throw new DriverError('gone', `backend ${backend} has no accelerator ${order.accelerator}`);
  }
  if (item.plan === undefined) {
    const message = `${item.key} was declared without a plan; add "plan" to its entry`;
    throw new DriverError('unsupported', message);
  }
  if (!order.plugs.includes(item.plan.kind)) {
    const offer = order.plugs.join(', ') || 'nothing';
    throw new DriverError(
      'unsupported',
      `${item.key} needs ${item.plan.kind}; the instance's hypervisor can plug ${offer}`,
    );
  }
  return item.plan;
}

/** What the hypervisor makes anew holds nothing; hardware that an operator only named is nothing we can reach. */
function clean({ config: settings, simulated }: Context, key: string): string[] {
  const kind = settings.accelerators.find((item) => item.key === key)?.plan?.kind;
  if (simulated) return ['simulated'];
  if (kind === undefined || kind === 'virtio-crypto' || kind === 'virtio-rng') {
    return ['made anew by the hypervisor for each guest: it has no memory to clean'];
  }
  const message = `${key} is declared hardware (${kind}), which this driver cannot clean: clean it by hand`;
  throw new DriverError('unsupported', message);
}

function checkKeys(accelerators: readonly Declared[]): void {
  const seen = new Set<string>();
  for (const { key } of accelerators) {
    if (seen.has(key)) {
      throw new DriverError('invalid', `config.accelerators: key "${key}" is given twice`);
    }
    seen.add(key);
  }
}
