/** Kind `static`: accelerators that an operator declares, for what no driver can find. */
import {
  defineKind,
  type BackendContext,
  type ConfigOf,
  type Kind,
  type PrepareOrder,
} from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { AttachPlan, DriverDevice, Inventory } from '@cyborg/driver-sdk/protocol';
import { acceleratorTypes, factsOfType, servicesOf } from '../functions.ts';
import type { PciScanner } from '../pci/scanner.ts';
import { toDriverDevice, type SoftwareAccelerator } from '../software-device.ts';
import { Evidence } from './evidence.ts';
import { attachInfoOf, claimOf, normalPlan, planSchema } from './plan.ts';

const text = { type: 'string', minLength: 1, maxLength: 255 } as const;

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
          type: { enum: acceleratorTypes, description: 'What it is.' },
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
          plan: planSchema,
        },
      },
    },
  },
  additionalProperties: false,
} as const;

type Config = ConfigOf<typeof config>;
type Context = BackendContext<Config>;
type Declared = Config['accelerators'][number];

export function openStaticKind(scanner: PciScanner): Kind {
  return defineKind({
    title: 'Accelerators declared in the configuration',
    config,
    delegable: [], // it says which hardware there is: an admin's business
    install: ({ config: settings }) => {
      checkTwice(settings.accelerators);
      return { status: 'ready' };
    },
    discover: (context) => discover(scanner, context),
    prepare: (context, order) => prepare(scanner, context, order),
    release: () => undefined, // `prepare` keeps nothing on the host
    clean: (context, { accelerator }) => clean(context, accelerator),
  });
}

async function discover(scanner: PciScanner, context: Context): Promise<Inventory> {
  const { accelerators } = context.config;
  checkTwice(accelerators);
  const plans = accelerators.flatMap(({ plan }) => (plan === undefined ? [] : [normalPlan(plan)]));
  const evidence = await Evidence.of(scanner, context, plans);
  const devices = accelerators.map((item) => toDevice(context, item, evidence));
  return { devices, services: servicesOf(devices) };
}

function toDevice(
  { host, backend }: Pick<Context, 'host' | 'backend'>,
  item: Declared,
  evidence: Evidence,
): DriverDevice {
  const plan = item.plan === undefined ? null : normalPlan(item.plan);
  const { facts, health } = evidence.deviceOf(plan);
  return toDriverDevice({
    key: item.key,
    deployableName: `${host.name}_${backend}_${item.key}`.slice(0, 255),
    type: item.type,
    vendor: item.vendor ?? null,
    model: item.model ?? null,
    resourceClass: item.resource_class ?? factsOfType[item.type].resourceClass,
    traits: ['OWNER_CYBORG', ...(item.traits ?? [])],
    accelerators: [toAccelerator(item, plan, evidence)],
    hardware: facts,
    health,
  });
}

function toAccelerator(
  { key, name = key }: Declared,
  plan: AttachPlan | null,
  evidence: Evidence,
): SoftwareAccelerator {
  if (plan === null) {
    const reason = 'declared without a plan: add "plan" to its entry to have it plugged';
    return { key, name, plan, reason };
  }
  return { key, name, plan, attachInfo: attachInfoOf(plan), ...evidence.judge(plan) };
}

async function prepare(
  scanner: PciScanner,
  context: Context,
  { accelerator, plugs }: PrepareOrder,
): Promise<AttachPlan> {
  const { config: settings, backend } = context;
  const item = settings.accelerators.find(({ key }) => key === accelerator);
  if (item === undefined) {
    throw new DriverError('gone', `backend ${backend} has no accelerator ${accelerator}`);
  }
  if (item.plan === undefined) {
    const message = `${item.key} was declared without a plan; add "plan" to its entry`;
    throw new DriverError('unsupported', message);
  }
  const plan = normalPlan(item.plan);
  if (!plugs.includes(plan.kind)) {
    const offer = plugs.join(', ') || 'nothing';
    throw new DriverError(
      'unsupported',
      `${item.key} needs ${plan.kind}; the instance's hypervisor can plug ${offer}`,
    );
  }
  const evidence = await Evidence.of(scanner, context, [plan]);
  const { reason, hostUse } = evidence.judge(plan);
  if (hostUse !== null) throw new DriverError('host-use', `${item.key}: ${hostUse}`);
  if (reason !== null) throw new DriverError('unsupported', `${item.key}: ${reason}`);
  return plan;
}

/** What the hypervisor makes anew holds nothing; hardware that an operator only named is nothing we can reach. */
function clean({ config: settings, simulated, backend }: Context, key: string): string[] {
  const item = settings.accelerators.find((one) => one.key === key);
  const kind = item?.plan?.kind;
  if (simulated) return ['simulated'];
  if (kind === 'virtio-crypto' || kind === 'virtio-rng') {
    return ['made anew by the hypervisor for each guest: it has no memory to clean'];
  }
  const what =
    item === undefined
      ? `${key} is not declared by backend ${backend} any more`
      : `${key} is declared hardware (${kind ?? 'without a plan'})`;
  throw new DriverError('unsupported', `${what}, so this driver cannot clean it: clean it by hand`);
}

/** @throws DriverError `invalid` when two entries have one key, or stand for one thing. */
function checkTwice(accelerators: readonly Declared[]): void {
  const keys = new Set<string>();
  const wholes = new Map<string, string>();
  for (const { key, plan } of accelerators) {
    if (keys.has(key)) {
      throw new DriverError('invalid', `config.accelerators: key "${key}" is given twice`);
    }
    keys.add(key);
    const { whole } = plan === undefined ? {} : claimOf(normalPlan(plan));
    if (whole === undefined) continue;
    const other = wholes.get(whole);
    if (other !== undefined) throw twice(whole, other, key);
    wholes.set(whole, key);
  }
  for (const { key, plan } of accelerators) {
    const { part } = plan === undefined ? {} : claimOf(normalPlan(plan));
    const other = part === undefined ? undefined : wholes.get(part);
    if (part !== undefined && other !== undefined) throw twice(part, other, key);
  }
}

function twice(what: string, one: string, other: string): DriverError {
  return new DriverError(
    'invalid',
    `config.accelerators: "${one}" and "${other}" both declare ${what}; declare it once`,
  );
}
