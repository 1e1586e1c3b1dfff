import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { listFunctions } from '@cyborg/driver-sdk/host-use/function';
import { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { buildTree, pathOf } from '@cyborg/driver-sdk/tree-builder';
import { afterEach, beforeEach, describe, it } from 'vitest';

import { readIdentities, type KnownIdentities } from './identity.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-identity-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const drive = { address: '0000:23:00.0', vendor: 0x1b36, device: 0x0010, class: 0x010802 };

describe('a drive that has just been plugged in', () => {
  it('is known by its serial number as soon as its driver says it, and from then on', ({
    expect,
  }) => {
    const { sysfs } = buildTree(folder, { functions: [drive] });
    let known: KnownIdentities = {};
    const look = (): string | null | undefined => {
      const reader = new TreeReader();
      const functions = [...listFunctions(reader, sysfs).values()];
      const found = readIdentities(functions, { reader, known });
      known = found.known;
      return found.identities.get(drive.address)?.serial;
    };
    expect(look()).toBeNull();
    const controller = join(folder, pathOf(drive), 'nvme');
    mkdirSync(join(controller, 'nvme0'), { recursive: true });
    expect(look()).toBeNull();
    writeFileSync(join(controller, 'nvme0/serial'), 'CARD7   \n');
    expect(look()).toBe('CARD7');
    rmSync(controller, { recursive: true }); // a guest has it
    expect(look()).toBe('CARD7');
  });
});
