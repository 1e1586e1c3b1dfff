interface Counted {
  readonly accelerators_total: number;
  readonly accelerators_free: number;
  readonly accelerators_cleaning_failed: number;
}

/** The free ones of all, and those that need somebody. */
export function freeOf({
  accelerators_total: total,
  accelerators_free: free,
  accelerators_cleaning_failed: failed,
}: Counted): string {
  return `${free} of ${total}${failed === 0 ? '' : `, ${failed} could not be cleaned`}`;
}
