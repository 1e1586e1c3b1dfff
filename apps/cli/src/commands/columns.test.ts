import { describe, it } from 'vitest';

import { freeColumn } from './columns.ts';

describe('the count of free accelerators', () => {
  it('names those that could not be cleaned, and leaves out what an older server does not say', ({
    expect,
  }) => {
    const counts = { accelerators_total: 8, accelerators_free: 2 };
    expect(freeColumn.text({ ...counts, accelerators_cleaning_failed: 1 })).toBe(
      '2 of 8, 1 cleaning_failed',
    );
    expect(freeColumn.text({ ...counts, accelerators_cleaning_failed: 0 })).toBe('2 of 8');
    expect(freeColumn.text(counts)).toBe('2 of 8');
    expect(freeColumn.text({})).toBe('-');
    expect(freeColumn.text({ ...counts, accelerators_total: 0 })).toBe('-');
  });
});
