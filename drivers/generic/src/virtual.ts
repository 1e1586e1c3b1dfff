/**
 * Kind `virtual`: software accelerators that a QEMU host can give to its guests without hardware: crypto
 * (virtio-crypto with a builtin backend) and entropy (virtio-rng from the host's random device).
 */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import {
  defineKind,
  type BackendContext,
  type ConfigOf,
  type Kind,
  type PrepareOrder,
} from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { AttachPlan, DriverDevice, Inventory } from '@cyborg/driver-sdk/protocol';
import { entropySources } from './entropy-sources.ts';
import { servicesOf } from './functions.ts';
import { toDriverDevice, type SoftwareAccelerator } from './software-device.ts';

const countMax = 256;

const config = {
  type: 'object',
  properties: {
    crypto: {
      type: 'integer',
      minimum: 0,
      maximum: countMax,
      default: 4,
      description: 'How many crypto accelerators (virtio-crypto) there are.',
    },
    entropy: {
      type: 'integer',
      minimum: 0,
      maximum: countMax,
      default: 4,
      description: 'How many entropy accelerators (virtio-rng) there are.',
    },
    additional: {
      type: 'array',
      maxItems: countMax,
      default: [],
      description: 'Accelerators beyond those counts; accelerator-create adds here.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['key', 'function'],
        properties: {
          key: {
            type: 'string',
            pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
            description: 'Unique within the backend; the accelerator keeps it for life.',
          },
          function: { enum: ['crypto', 'entropy'], description: 'What it does.' },
          name: { type: 'string', minLength: 1, maxLength: 255, description: 'What it is called.' },
        },
      },
    },
    crypto_queues: {
      type: 'integer',
      minimum: 1,
      maximum: 64,
      default: 1,
      description: 'Data queues of each crypto accelerator.',
    },
    entropy_source: {
      enum: ['auto', ...entropySources],
      default: 'auto',
      description:
        'Host file that gives the entropy. auto: /dev/hwrng if usable, else /dev/urandom.',
    },
    entropy_bytes_max: {
      type: 'integer',
      minimum: 1,
      maximum: 1_073_741_824,
      description:
        'With entropy_period_ms: bytes that a guest may take in a period. Absent: no limit.',
    },
    entropy_period_ms: {
      type: 'integer',
      minimum: 1,
      maximum: 86_400_000,
      description: 'Length of the period for entropy_bytes_max, in milliseconds.',
    },
  },
  additionalProperties: false,
} as const;

type Config = ConfigOf<typeof config>;
type Function = 'crypto' | 'entropy';
type Context = BackendContext<Config>;

interface Card {
  readonly type: 'CRYPTO' | 'ENTROPY';
  readonly model: string;
  readonly resourceClass: string;
}

const cardOf = {
  crypto: {
    type: 'CRYPTO',
    model: 'virtio-crypto, builtin backend',
    resourceClass: 'CUSTOM_CYBORG_CRYPTO',
  },
  entropy: {
    type: 'ENTROPY',
    model: 'virtio-rng, host entropy',
    resourceClass: 'CUSTOM_CYBORG_ENTROPY',
  },
} as const satisfies Record<Function, Card>;

const functions = ['crypto', 'entropy'] as const;

export const virtualKind: Kind = defineKind({
  title: 'Software accelerators for QEMU guests: crypto and entropy',
  config,
  delegable: ['crypto', 'entropy', 'additional'],
  install: (context) => {
    listAll(context); // an accelerator key given twice is refused here, not at the first discover
    return { status: 'ready' };
  },
  discover: (context) => discover(context),
  prepare: (context, order) => prepare(context, order),
  release: () => undefined, // `prepare` keeps nothing on the host
  clean: () => ['made anew by the hypervisor for each guest: it has no memory to clean'],
});

interface Entry extends SoftwareAccelerator {
  readonly function: Function;
  readonly plan: AttachPlan;
}

function discover(context: Context): Inventory {
  const entries = listAll(context);
  const devices: DriverDevice[] = [];
  for (const fn of functions) {
    const accelerators = entries.filter((entry) => entry.function === fn);
    if (accelerators.length === 0) continue;
    devices.push(
      toDriverDevice({
        ...cardOf[fn],
        key: fn,
        deployableName: `${context.host.name}_${context.backend}_${fn}`,
        vendor: null,
        traits: ['OWNER_CYBORG', 'CUSTOM_CYBORG_HOTPLUG_ONLY'],
        accelerators,
      }),
    );
  }
  return { devices, services: servicesOf(devices) };
}

function prepare(context: Context, { accelerator, plugs }: PrepareOrder): AttachPlan {
  const entry = listAll(context).find(({ key }) => key === accelerator);
  if (entry === undefined) {
    throw new DriverError('gone', `backend ${context.backend} has no accelerator ${accelerator}`);
  }
  if (!plugs.includes(entry.plan.kind)) {
    const offer = plugs.join(', ') || 'nothing';
    throw new DriverError(
      'unsupported',
      `${accelerator} needs ${entry.plan.kind}; the instance's hypervisor can plug ${offer}`,
    );
  }
  return entry.plan;
}

/** @throws DriverError `invalid` when two accelerators have one key. */
function listAll(context: Context): Entry[] {
  const { config: settings } = context;
  const plans = { crypto: cryptoPlan(settings), entropy: entropyPlan(context) };
  const counted = functions.flatMap((fn) =>
    Array.from({ length: settings[fn] }, (_, index) => toEntry(`${fn}-${index}`, fn, plans[fn])),
  );
  const additional = settings.additional.map(({ key, function: fn, name = key }) => ({
    ...toEntry(key, fn, plans[fn]),
    name,
  }));
  const all = [...counted, ...additional];
  const seen = new Set<string>();
  for (const { key } of all) {
    if (seen.has(key)) {
      const message = `config.additional: key "${key}" is taken; choose another`;
      throw new DriverError('invalid', message);
    }
    seen.add(key);
  }
  return all;
}

function toEntry(key: string, fn: Function, plan: AttachPlan): Entry {
  return { key, name: key, function: fn, plan };
}

function cryptoPlan({ crypto_queues: queues }: Config): AttachPlan {
  return { kind: 'virtio-crypto', queues };
}

function entropyPlan({ config: settings, roots, simulated }: Context): AttachPlan {
  const { entropy_source: wanted, entropy_bytes_max: bytes, entropy_period_ms: period } = settings;
  const hwrng = join(roots.dev, 'hwrng');
  const isUsable = wanted === 'auto' && !simulated && isReadable(hwrng);
  const source = wanted === 'auto' ? join('/dev', isUsable ? 'hwrng' : 'urandom') : wanted;
  return {
    kind: 'virtio-rng',
    source,
    ...(bytes !== undefined && { max_bytes: bytes }),
    ...(period !== undefined && { period_ms: period }),
  };
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
