/** What upstream calls a type of ours; types that it has no word for stay out of v2. The ledger's columns do the same. */
export const v2Types = ['GPU', 'FPGA', 'AICHIP', 'QAT', 'NIC', 'SSD'] as const;
export type V2Type = (typeof v2Types)[number];

/** `device.v2_type` is generated from the same table. */
export const v2TypeByType: Readonly<Record<string, V2Type>> = {
  GPU: 'GPU',
  FPGA: 'FPGA',
  AICHIP: 'AICHIP',
  CRYPTO: 'QAT',
  COPROCESSOR: 'QAT',
  NIC: 'NIC',
  SSD: 'SSD',
};

export function v2TypeOf(type: string): V2Type | null {
  return v2TypeByType[type] ?? null;
}
