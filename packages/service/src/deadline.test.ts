import { makeTestClock } from '@cyborg/testing/clock';
import { describe, it } from 'vitest';

import { DeadlineExceeded, withDeadline } from './deadline.ts';

describe('withDeadline', () => {
  const never = (): Promise<never> => new Promise(() => {});

  it('gives the result of work that is in time, and leaves no timer behind', async ({ expect }) => {
    const clock = makeTestClock();
    const result = await withDeadline(async () => 7, { clock, timeoutMs: 10, what: 'Work' });
    expect(result).toBe(7);
    expect(clock.pendingTimers).toBe(0);
  });

  it('rejects when time is up and aborts the work', async ({ expect }) => {
    const clock = makeTestClock();
    let seen: AbortSignal | undefined;
    const work = (signal: AbortSignal): Promise<never> => {
      seen = signal;
      return never();
    };
    const outcome = withDeadline(work, { clock, timeoutMs: 50, what: 'Work' });
    const failed = expect(outcome).rejects.toThrow(DeadlineExceeded);
    await clock.advance(50);
    await failed;
    expect(seen?.aborted).toBe(true);
  });

  it("rejects with the caller's reason when the caller gives up", async ({ expect }) => {
    const clock = makeTestClock();
    const controller = new AbortController();
    const options = { clock, timeoutMs: 50, what: 'Work', signal: controller.signal };
    const failed = expect(withDeadline(never, options)).rejects.toThrow('enough');
    controller.abort(new Error('enough'));
    await failed;
    expect(clock.pendingTimers).toBe(0);
  });
});
