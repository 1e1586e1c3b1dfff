/** What an accelerator can be. The driver protocol has the same list (a test compares). */
export const acceleratorTypes = [
  'GPU',
  'FPGA',
  'AICHIP',
  'COPROCESSOR',
  'CRYPTO',
  'ENTROPY',
  'NIC',
  'SSD',
  'OTHER',
] as const;
