/** The files of the lab that take long begin first, so that none runs alone at the end. */
import { basename } from 'node:path';

import { BaseSequencer, type TestSpecification } from 'vitest/node';

const longest = [
  'kills.test.ts',
  'attach-qemu.test.ts',
  'reconciliation-qemu.test.ts',
  'attach-libvirt.test.ts',
  'mdev.test.ts',
  'reconciliation-libvirt.test.ts',
  'reconciliation-cards.test.ts',
  'acts.test.ts',
];

function turnOf({ project, moduleId }: TestSpecification): number {
  const turn = project.name === 'lab' ? longest.indexOf(basename(moduleId)) : -1;
  return turn === -1 ? longest.length : turn;
}

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => turnOf(a) - turnOf(b));
  }
}
