import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';
import type { BackendContext, Kind } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import { buildTree, type FunctionDescription } from '@cyborg/driver-sdk/tree-builder';
import { openPciKind } from '../pci/kind.ts';
import { Cleaner } from '../pci/vfio.ts';
import { PciScanner } from '../pci/scanner.ts';
import type { Signs } from './sources.ts';
import { HealthReader, type HealthLimits } from './watch.ts';

const address = '0000:21:00.0';
const drive: FunctionDescription = {
  address,
  vendor: 0x144d,
  device: 0xa80a,
  class: 0x010802,
  iommuGroup: 7,
  below: {
    'nvme/nvme0/hwmon3/temp1_input': '40000\n',
    'nvme/nvme0/hwmon3/temp1_max': '80000\n',
    'nvme/nvme0/hwmon3/temp1_label': 'Composite\n',
  },
};
const quick: HealthLimits = { delayMs: 1, gapMs: 1, repeatMs: 20 };

let folder = '';
let closeAll: (() => void)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-health-'));
});
afterEach(() => {
  for (const close of closeAll) close();
  closeAll = [];
  rmSync(folder, { recursive: true, force: true });
});

interface Bench {
  readonly kind: Kind;
  readonly context: BackendContext<unknown>;
  /** Resolves at the next `inventoryChanged`. */
  changed(): Promise<void>;
}

function open(
  reader = new HealthReader({ monotonicMs: () => performance.now(), limits: quick }),
): Bench {
  const scanner = new PciScanner();
  const cleaner = new Cleaner();
  closeAll.push(
    () => scanner.close(),
    () => reader.close(),
    () => cleaner.close(),
  );
  const kind = openPciKind({ scanner, healthReader: reader, cleaner });
  const roots = buildTree(folder, { functions: [drive] });
  let waiting: (() => void)[] = [];
  const context: BackendContext<unknown> = {
    host: { name: 'host', node_name: 'host' },
    roots,
    simulated: true,
    stateDir: null,
    log: () => undefined,
    backend: 'b',
    config: kind.parseConfig({ classes: ['0108'] }),
    signal: new AbortController().signal,
    ask: async () => await Promise.reject(new DriverError('unsupported', 'nobody')),
    inventoryChanged: () => {
      const told = waiting;
      waiting = [];
      for (const tell of told) tell();
    },
    healthChanged: () => undefined,
  };
  const changed = async (): Promise<void> => await new Promise((resolve) => waiting.push(resolve));
  return { kind, context, changed };
}

/** As the kernel shows it: all of it at once. */
function setTemperature(value: number): void {
  const file = join(folder, `sys/devices/pci0000:21/${address}/nvme/nvme0/hwmon3/temp1_input`);
  writeFileSync(join(folder, 'next'), `${value}\n`);
  renameSync(join(folder, 'next'), file);
}

async function healthOf({ kind, context }: Bench): Promise<unknown> {
  const { devices } = await kind.discover(context);
  return devices[0]?.health;
}

const hot = { status: 'degraded', reason: 'temperature Composite is at its limit of 80 °C' };
const well = { status: 'healthy', reason: null };

describe('the health of cards', () => {
  it('is told when it changes, also back, and is what the next discovery says', async ({
    expect,
  }) => {
    const bench = open();
    setTemperature(85_000);
    const degraded = bench.changed();
    expect(await healthOf(bench)).toEqual(well); // not waited for
    await degraded;
    expect(await healthOf(bench)).toEqual(hot);
    const recovered = bench.changed();
    setTemperature(60_000);
    await recovered;
    expect(await healthOf(bench)).toEqual(well);
  });

  it('is answered by accelerator when asked for', async ({ expect }) => {
    const bench = open();
    setTemperature(85_000);
    const answer = await bench.kind.health?.(bench.context);
    expect(answer).toEqual({ 'pci-0000:21:00.0-144d-a80a': hot });
  });

  it('that cannot be read holds up no discovery', async ({ expect }) => {
    const started = Promise.withResolvers<void>();
    class HangingReader extends HealthReader {
      override async read(): Promise<Record<string, Signs>> {
        started.resolve();
        return await new Promise(() => undefined);
      }
    }
    const bench = open(new HangingReader({ monotonicMs: () => performance.now(), limits: quick }));
    expect(await healthOf(bench)).toEqual(well);
    await started.promise;
    expect(await healthOf(bench)).toEqual(well);
  });
});

describe('definitions of a configuration', () => {
  const text = 'id: acme\ntitle: Acme\nmatch:\n  - { vendor: 144d }\nservices: [gpu.compute]\n';
  const withText = (bench: Bench, own: string): BackendContext<unknown> => ({
    ...bench.context,
    config: bench.kind.parseConfig({
      classes: ['0108'],
      definitions: [{ file: 'acme.yaml', text: own }],
    }),
  });

  it('that are wrong are refused by install and by discover, with file, line and rule', async ({
    expect,
  }) => {
    const bench = open();
    const context = withText(bench, text);
    const message = /^acme\.yaml:5:11: services needs type/u;
    await expect(bench.kind.install?.(context, { dryRun: true })).rejects.toThrow(message);
    await expect(bench.kind.discover(context)).rejects.toThrow(message);
  });

  it('that are right describe what they match', async ({ expect }) => {
    const bench = open();
    const context = withText(bench, `${text}type: GPU\nwhole:\n  resource_class: CUSTOM_ACME\n`);
    expect(await bench.kind.install?.(context, { dryRun: false })).toEqual({ status: 'ready' });
    const { devices } = await bench.kind.discover(context);
    expect(devices).toMatchObject([
      {
        type: 'GPU',
        info: { definition: 'acme' },
        deployables: [{ resource_class: 'CUSTOM_ACME' }],
      },
    ]);
  });
});
