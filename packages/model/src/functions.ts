/** Which accelerators a function is made of. Drivers may name other functions: those count all of their backend. */
export const typesByFunction: Readonly<Record<string, readonly string[]>> = {
  gpu: ['GPU'],
  fpga: ['FPGA'],
  ai: ['AICHIP'],
  coprocessor: ['COPROCESSOR'],
  crypto: ['CRYPTO'],
  random: ['ENTROPY'],
  network: ['NIC'],
  storage: ['SSD'],
  accelerator: ['OTHER'],
};

/** By the first part of the function's name; undefined for a family that is not known. */
export function typesOfFunction(name: string): readonly string[] | undefined {
  const [family = ''] = name.split('.');
  return Object.hasOwn(typesByFunction, family) ? typesByFunction[family] : undefined;
}
