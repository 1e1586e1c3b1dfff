/** What is looked for in a process of its own: one for all looks, because starting it takes longer than most of them. */
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { findOpenNodes, type OpenNodesOrder } from './open-nodes-scan.ts';
import { readSerialNumbers, type SerialNumbersOrder } from './serial-numbers-scan.ts';

const looks = { openNodes: findOpenNodes, serialNumbers: readSerialNumbers } as const;

export type LookMethod = keyof typeof looks;
export type LookOrder =
  | { readonly openNodes: OpenNodesOrder }
  | { readonly serialNumbers: SerialNumbersOrder };
export type LookAnswer = {
  readonly [M in LookMethod]?: ReturnType<(typeof looks)[M]>;
};

export function scan(order: LookOrder, reader: TreeReader): LookAnswer {
  return 'openNodes' in order
    ? { openNodes: looks.openNodes(order.openNodes, reader) }
    : { serialNumbers: looks.serialNumbers(order.serialNumbers, reader) };
}
