import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';
import type { BackendContext } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { DriverAccelerator } from '@cyborg/driver-sdk/protocol';
import { buildTree } from '@cyborg/driver-sdk/tree-builder';
import { Cleaner, type CleanWish } from './vfio.ts';

const address = '0000:21:00.0';
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-slow-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The own look, before which the configuration space is long in coming while this file is there: opening it blocks. */
function moduleThatWaits(asleep: string): URL {
  const own = import.meta.resolve('./verify.ts');
  const source = `
    import { existsSync, openSync } from 'node:fs';
    import { scan as verify } from ${JSON.stringify(own)};
    const asleep = ${JSON.stringify(asleep)};
    export function scan(input, reader) {
      reader.probe(input.folder + '/config', () => existsSync(asleep) && openSync(asleep, 'r'));
      return verify(input, reader);
    }`;
  const path = join(folder, 'verify.mjs');
  writeFileSync(path, source);
  return new URL(`file://${path}`);
}

const accelerator: DriverAccelerator = {
  key: 'gpu',
  name: 'gpu',
  type: 'GPU',
  plans: ['pci'],
  offered: true,
  reason: null,
  host_use: null,
  attach_info: {},
};
const wish: CleanWish = {
  plan: { kind: 'pci', address },
  accelerator,
  handlings: {},
  isNeverGiven: false,
  operatorReason: undefined,
};

describe('the cleaning of a card that is slow to wake', () => {
  it('is tried again, and asks the card anew then', async ({ expect }) => {
    const gpu = { address, vendor: 0x10de, device: 0x2330, class: 0x030200 };
    const ask = async (method: string): Promise<object> =>
      method === 'reset' ? { method: 'flr' } : {};
    const context: Omit<BackendContext<unknown>, 'config'> = {
      host: { name: 'host', node_name: 'host' },
      roots: buildTree(folder, { functions: [gpu] }),
      simulated: false,
      stateDir: null,
      log: () => undefined,
      backend: 'b',
      signal: new AbortController().signal,
      ask: ask as BackendContext<unknown>['ask'], // answers are the test's
      inventoryChanged: () => undefined,
      healthChanged: () => undefined,
    };
    const asleep = join(folder, 'asleep');
    execFileSync('mkfifo', [asleep]);
    const cleaner = new Cleaner(moduleThatWaits(asleep));
    try {
      const first: unknown = await cleaner.clean(context, wish).catch((error: unknown) => error);
      expect(first).toBeInstanceOf(DriverError);
      expect(first).toMatchObject({
        code: 'transient',
        message: expect.stringMatching(/\/0000:21:00\.0\/config does not answer: whether/u),
      });
      rmSync(asleep);
      expect(await cleaner.clean(context, wish)).toEqual([
        'reset by flr',
        'answers',
        'ids 0x10de:0x2330 and class as before',
        'configuration space as expected: no bus mastering, addresses as assigned',
        'put back as it was found',
      ]);
    } finally {
      cleaner.close();
    }
  });
});
