/** Columns that several lists share. */

interface OnHost {
  readonly host: string | null;
  readonly simulated: boolean;
}

/** A demo host is labelled wherever it shows. */
export const hostColumn = {
  key: 'host',
  text: ({ host, simulated }: OnHost): string => withLabel(host ?? '-', simulated),
} as const;

/** The label of {@link hostColumn} for the formats that scripts read. */
export const simulatedColumn = { key: 'simulated', hidden: true } as const;

export function withLabel(name: string, simulated: boolean): string {
  return simulated ? `${name} (simulated)` : name;
}

/** `2 of 8`: the free ones of all; nothing for what has none. */
export const freeColumn = {
  key: 'accelerators_free',
  text: (item: { accelerators_free: number; accelerators_total: number }): string =>
    item.accelerators_total === 0 ? '-' : `${item.accelerators_free} of ${item.accelerators_total}`,
} as const;

export const totalColumn = { key: 'accelerators_total', hidden: true } as const;
