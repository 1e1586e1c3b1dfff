/** Columns that several lists share. */

/** A demo host, and what is on it, is labelled wherever it shows; a fleet without one is spared the column. */
export const simulatedColumn = {
  key: 'simulated',
  hidden: (items: readonly { readonly simulated: boolean }[]): boolean =>
    !items.some(({ simulated }) => simulated),
} as const;

/** `2 of 8`: the free ones of all; nothing for what has none. */
export const freeColumn = {
  key: 'accelerators_free',
  text: (item: { accelerators_free: number; accelerators_total: number }): string =>
    item.accelerators_total === 0 ? '-' : `${item.accelerators_free} of ${item.accelerators_total}`,
} as const;

export const totalColumn = { key: 'accelerators_total', hidden: true } as const;
