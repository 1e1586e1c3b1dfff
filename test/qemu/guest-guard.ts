/** The one place that decides whether the tests with guests run: skipped with the reason, but never in CI. */
import { it } from 'vitest';

import { whyNoGuest } from './guest.ts';

/** @returns why there can be no guest, or null. */
export function guardGuests(): string | null {
  const problem = whyNoGuest();
  if (problem !== null) console.warn(`skipped: ${problem}`);
  it('has what guests need', ({ expect, skip }) => {
    const isMust = process.env['CI'] === 'true';
    expect(isMust ? problem : null).toBeNull();
    skip(problem !== null, problem ?? '');
  });
  return problem;
}
