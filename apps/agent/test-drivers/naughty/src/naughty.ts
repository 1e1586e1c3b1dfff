/** A driver for tests: well-behaved, until the configuration of a backend asks for one of the bad manners. */
import { existsSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { defineDriver, defineKind, type Driver } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { Inventory } from '@cyborg/driver-sdk/protocol';

const config = {
  type: 'object',
  properties: {
    count: { type: 'integer', minimum: 0, maximum: 2000, default: 2 },
    mode: {
      enum: [
        'good',
        'crash-on-discover',
        'tell-and-crash',
        'hang-on-discover',
        'hang-on-health',
        'sick-until-told',
        'spin-on-discover',
        'hang-on-prepare',
        'flood-stdout',
        'flood-notifications',
        'flood-stderr',
        'garbage',
        'huge-frame',
        'nonsense',
        'transient-prepare',
        'refuse-prepare',
        'pci',
        'refuse-clean',
        'tell-releases',
        'setup',
        'refuse-install-2',
        'crash-later-2',
      ],
      default: 'good',
    },
    password: { type: 'string' },
  },
  additionalProperties: false,
} as const;

interface Manners {
  readonly password: string | undefined;
  readonly stateDir: string | null;
  readonly notify: () => void;
}

const hang = (): Promise<never> => new Promise(() => setInterval(() => undefined, 1000));

function misbehave(mode: string, { password, stateDir, notify }: Manners): unknown {
  switch (mode) {
    case 'crash-on-discover':
      console.error('about to crash, as asked');
      return process.exit(3);
    case 'tell-and-crash':
      for (let line = 0; line < 100; line += 1) console.error(`line ${line}`);
      console.error(`logged in with ${password}`);
      console.error('api_key=k-0815 refused');
      console.error('about to crash, as asked');
      return process.exit(3);
    case 'hang-on-discover':
      if (stateDir !== null) writeFileSync(join(stateDir, 'hangs'), '');
      return hang();
    case 'spin-on-discover':
      for (;;);
    case 'flood-stdout':
      for (let i = 0; i < 2000; i += 1)
        force(1, frame({ jsonrpc: '2.0', method: 'log', params: { level: 'info', message: 'x' } }));
      return hang();
    case 'flood-notifications':
      for (let i = 0; i < 5000; i += 1) notify();
      return undefined;
    case 'flood-stderr':
      for (let i = 0; i < 64; i += 1) force(2, 'x'.repeat(4096));
      return undefined;
    case 'garbage':
      force(1, 'Hello, I am a stray print\n');
      return hang();
    case 'huge-frame':
      force(1, 'Content-Length: 4000000000\r\n\r\n{}');
      return hang();
    case 'nonsense':
      return { devices: 'many', services: [] };
    default:
      return undefined;
  }
}

/** Whatever it takes: the pipe may be full, and does not block. */
function force(fd: number, text: string): void {
  for (let rest = Buffer.from(text); rest.length > 0;) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
    }
  }
}

function frame(message: unknown): string {
  const text = JSON.stringify(message);
  return `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
}

function inventoryOf(count: number, backend: string): Inventory {
  const accelerators = Array.from({ length: count }, (_, index) => ({
    key: `acc-${index}`,
    name: `acc-${index}`,
    type: 'ENTROPY' as const,
    plans: ['virtio-rng' as const],
    offered: true,
    reason: null,
    host_use: null,
    attach_info: {},
  }));
  const parts = [];
  for (let at = 0; at < accelerators.length; at += 500) {
    parts.push({
      key: `part-${at}`,
      name: `${backend}_part-${at}`,
      resource_class: 'CUSTOM_TEST',
      traits: [],
      accelerators: accelerators.slice(at, at + 500),
    });
  }
  const device = {
    key: 'card',
    address: null,
    vendor_id: null,
    device_id: null,
    class: null,
    type: 'ENTROPY' as const,
    vendor: null,
    model: 'test card',
    serial: null,
    numa_node: null,
    iommu_group: null,
    kernel_driver: null,
    offered: true,
    reason: null,
    health: { status: 'healthy' as const, reason: null },
    info: {},
    deployables: parts,
  };
  return { devices: [device], services: [] };
}

/** Attachments, in order. */
const released: string[] = [];

export function openNaughtyDriver(version: string): Driver {
  const kind = defineKind({
    title: 'For tests',
    config,
    delegable: [],
    install: ({ config: { mode } }) => {
      if (mode === 'setup') return { status: 'setup_required', steps: ['modprobe vfio-pci'] };
      if (mode === 'refuse-install-2' && version === '2.0.0') {
        throw new DriverError('invalid', 'version 2 does not take this backend');
      }
      return { status: 'ready' };
    },
    discover: async (context) => {
      const { mode, count, password } = context.config;
      const { stateDir, inventoryChanged: notify } = context;
      // Once it is well: while it is tried beside the version before.
      if (mode === 'crash-later-2' && version === '2.0.0' && stateDir !== null) {
        if (existsSync(join(stateDir, 'was-well'))) process.exit(3);
        writeFileSync(join(stateDir, 'was-well'), '');
      }
      const bad = await misbehave(mode, { password, stateDir, notify });
      return (bad as Inventory | undefined) ?? inventoryOf(count, context.backend);
    },
    prepare: async ({ config: { mode } }) => {
      if (mode === 'hang-on-prepare') await hang();
      if (mode === 'transient-prepare') throw new DriverError('transient', 'not just now');
      if (mode === 'refuse-prepare') throw new DriverError('unsupported', 'this card cannot');
      if (mode === 'pci') return { kind: 'pci', address: '0000:41:00.0' };
      return { kind: 'virtio-rng', source: '/dev/urandom' };
    },
    release: (_context, { attachment }) => void released.push(attachment),
    clean: ({ config: { mode } }, { never_given: isNeverGiven = false }) => {
      if (mode === 'refuse-clean') throw new DriverError('host-use', 'its interface is up');
      const done = isNeverGiven ? 'nothing to wipe' : 'wiped';
      return mode === 'tell-releases' ? [done, ...released] : [done];
    },
    stats: () => ({ temperature_celsius: 41, is_busy: true, note: 'hot', '9bad name': 1 }),
    health: async ({ config: { mode }, stateDir }) => {
      if (mode === 'hang-on-health') await hang();
      const isSick = mode === 'sick-until-told' && !existsSync(join(stateDir ?? '/', 'well'));
      return {
        'acc-0': { status: 'healthy', reason: null },
        'acc-1': isSick
          ? { status: 'failed', reason: 'the fan stands still' }
          : { status: 'healthy', reason: null },
        // Of what it does not list.
        'acc-9': { status: 'failed', reason: 'x' },
      };
    },
  });
  return defineDriver({ id: 'naughty', version, kinds: { demo: kind } });
}
