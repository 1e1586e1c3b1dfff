/** Columns that several lists share. */

/** A demo host, and what is on it, is labelled wherever it shows; a fleet without one is spared the column. */
export const simulatedColumn = {
  key: 'simulated',
  hidden: (items: readonly { readonly simulated: boolean }[]): boolean =>
    !items.some(({ simulated }) => simulated),
} as const;

/** An older server does not say all of it. */
interface Counted {
  readonly accelerators_total?: number;
  readonly accelerators_free?: number;
  readonly accelerators_cleaning_failed?: number;
}

/** `2 of 8, 1 cleaning_failed`: the free ones of all, and those that need somebody; nothing for what has none. */
export const freeColumn = {
  key: 'accelerators_free',
  text: ({
    accelerators_total: total = 0,
    accelerators_free: free,
    accelerators_cleaning_failed: failed = 0,
  }: Counted): string => {
    if (total === 0 || free === undefined) return '-';
    return `${free} of ${total}${failed === 0 ? '' : `, ${failed} cleaning_failed`}`;
  },
} as const;

/** What `freeColumn` says in words, for programs. */
export const countColumns = [
  { key: 'accelerators_total', hidden: true },
  { key: 'accelerators_cleaning_failed', hidden: true },
] as const;
