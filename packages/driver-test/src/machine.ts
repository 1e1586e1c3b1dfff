/** The machine that no driver's test needs to own: GPUs, a divided crypto card, FPGAs, beside what the host itself uses. */
import { cryptoAndFpgaHost, eightGpuServer } from '@cyborg/driver-sdk/example-trees';
import type { FunctionDescription, TreeDescription } from '@cyborg/driver-sdk/tree-builder';

export function kitMachine(): TreeDescription {
  const gpus = eightGpuServer();
  const others = cryptoAndFpgaHost();
  return {
    functions: [...gpus.functions, ...others.functions],
    files: { ...gpus.files, ...others.files },
  };
}

/** The same machine after somebody moved things about: what stayed in its slot must keep its keys. */
export function changedMachine(): TreeDescription {
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
