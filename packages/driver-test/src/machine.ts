/** The machine that no driver's test needs to own: GPUs, a divided crypto card, FPGAs, beside what the host itself uses. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { cryptoAndFpgaHost, eightGpuServer } from '@cyborg/driver-sdk/example-trees';
import type { Roots } from '@cyborg/driver-sdk/protocol';
import { layOutCopy, layOutRecording, rootsBelow } from '@cyborg/driver-sdk/recording';
import {
  buildTree,
  type FunctionDescription,
  type TreeDescription,
} from '@cyborg/driver-sdk/tree-builder';

/** `machine` is the one that is tried on, `changed` the kit's own with cards moved, `empty` has no files at all. */
export type MachineName = 'machine' | 'changed' | 'empty';

/**
 * @param tree A recording, or a copy of a machine, in place of the kit's own.
 * @throws Error when it is neither.
 */
export function layOutMachine(
  name: MachineName,
  { folder, tree }: { readonly folder: string; readonly tree: string | undefined },
): Roots {
  const place = join(folder, name);
  if (name === 'changed') return buildTree(place, changedMachine());
  if (name === 'empty') {
    mkdirSync(place, { recursive: true });
    return rootsBelow(place);
  }
  if (tree === undefined) return buildTree(place, kitMachine());
  return statSync(tree).isDirectory() ? layOutCopy(tree, place) : layOutRecording(tree, place);
}

/** Of every path, link and content below a folder, whatever it is called. Links are not followed: sysfs has circles of them. */
export function digestOfFolder(folder: string): string {
  const hash = createHash('sha256');
  const add = (below: string): void => {
    const entries = readdirSync(join(folder, below), { withFileTypes: true });
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(below, entry.name);
      hash.update(`${path}\0`);
      if (entry.isDirectory()) add(path);
      else if (entry.isSymbolicLink()) hash.update(`${readlinkSync(join(folder, path))}\0`);
      else if (entry.isFile()) {
        hash.update(
          createHash('sha256')
            .update(readFileSync(join(folder, path)))
            .digest(),
        );
      }
    }
  };
  add('');
  return hash.digest('hex');
}

function kitMachine(): TreeDescription {
  const gpus = eightGpuServer();
  const others = cryptoAndFpgaHost();
  return {
    functions: [...gpus.functions, ...others.functions],
    files: { ...gpus.files, ...others.files },
  };
}

/** The same machine after somebody moved things about: what stayed in its slot must keep its keys. */
function changedMachine(): TreeDescription {
  const { functions, files = {} } = kitMachine();
  const kept = functions.filter(({ address }) => address !== '0000:28:00.0').toReversed();
  const added = ['0000:11:00.0', '0000:12:00.0'].map((address, index) => newCard(address, index));
  return { functions: [...added, ...kept], files };
}

function newCard(address: string, index: number): FunctionDescription {
  return {
    address,
    vendor: 0x10de,
    device: 0x2330,
    class: 0x030200,
    numaNode: 0,
    iommuGroup: 90 + index,
    serial: 0x48b02d0000000900n + BigInt(index),
    resetMethods: 'flr bus',
  };
}
