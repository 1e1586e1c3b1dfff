import { makeTestClock } from '@cyborg/testing/clock';
import { describe, it } from 'vitest';

import { systemClock } from './clock.ts';

describe('systemClock', () => {
  it('sleeps and can be woken by a signal', async ({ expect }) => {
    await systemClock.sleep(1);
    const controller = new AbortController();
    const sleep = systemClock.sleep(60_000, controller.signal);
    controller.abort(new Error('wake'));
    await expect(sleep).rejects.toThrow('wake');
    await expect(systemClock.sleep(60_000, AbortSignal.abort(new Error('before')))).rejects.toThrow(
      'before',
    );
  });

  it('does not fire a timer of more than 24 days at once', async ({ expect }) => {
    let hasFired = false;
    using _timer = systemClock.setTimer(2 ** 40, () => {
      hasFired = true;
    });
    await systemClock.sleep(20);
    expect(hasFired).toBe(false);
  });
});

describe('the test clock', () => {
  it('fires timers in order, those that they set too', async ({ expect }) => {
    const clock = makeTestClock(new Date(0));
    const seen: string[] = [];
    const note = (name: string): void => void seen.push(`${name}@${clock.now().getTime()}`);
    clock.setTimer(20, () => note('b'));
    clock.setTimer(10, () => {
      note('a');
      clock.setTimer(5, () => note('c'));
    });
    clock.setTimer(12, () => note('gone'))[Symbol.dispose]();
    const slept = clock.sleep(30).then(() => note('slept'));
    await clock.advance(30);
    await slept;
    expect(seen).toEqual(['a@10', 'c@15', 'b@20', 'slept@30']);
  });

  it('keeps the monotonic clock when the wall clock jumps', ({ expect }) => {
    const clock = makeTestClock(new Date(0));
    clock.jumpWallClock(-5000);
    expect([clock.now().getTime(), clock.monotonicMs()]).toEqual([-5000, 0]);
  });
});
