import { systemClock } from '@cyborg/service/clock';
import { systemRng } from '@cyborg/service/rng';
import { quietLog } from '@cyborg/testing/log';
import { describe, it, vi } from 'vitest';

import type { PassReport, Reconciler } from './reconciler.ts';
import { startReconcilers } from './runner.ts';
import { makeWakeHub } from './wake.ts';

const idle: PassReport = { found: 0, full: false };
const hourMs = 3_600_000;
/** For what is done at once, on a machine that has much to do. */
const inTime = { timeout: 20_000, interval: 10 };

function start(reconciler: Partial<Reconciler> & Pick<Reconciler, 'pass'>) {
  const wake = makeWakeHub();
  const running = startReconcilers({ clock: systemClock, rng: systemRng, log: quietLog, wake }, [
    { name: 'example', periodMs: hourMs, topics: ['work'], ...reconciler },
  ]);
  return { wake, running };
}

describe('startReconcilers', () => {
  it('runs a pass at the start and at every wake-up of its topics', async ({ expect }) => {
    let passes = 0;
    const { wake, running } = start({
      pass: async () => {
        passes += 1;
        return idle;
      },
    });
    await vi.waitUntil(() => passes === 1, inTime);
    wake.wake(['events']);
    wake.wake(['work']);
    await vi.waitUntil(() => passes === 2, inTime);
    await running.stop();
    expect(passes).toBe(2);
    expect(running.status()[0]?.passes).toBe(2);
  });

  it('runs once more for a wake-up that came during a pass', async ({ expect }) => {
    const gate = Promise.withResolvers<PassReport>();
    let passes = 0;
    const { wake, running } = start({
      pass: () => {
        passes += 1;
        return passes === 1 ? gate.promise : Promise.resolve(idle);
      },
    });
    await vi.waitUntil(() => passes === 1, inTime);
    wake.wake(['work']);
    wake.wake(['work']);
    gate.resolve(idle);
    await vi.waitUntil(() => passes === 2, inTime);
    await running.stop();
    expect(passes).toBe(2);
  });

  it('goes on at once while a pass says that more is waiting', async ({ expect }) => {
    let passes = 0;
    const { running } = start({
      pass: async () => ({ found: 64, full: ++passes < 5 }),
    });
    await vi.waitUntil(() => passes === 5, inTime);
    await running.stop();
    expect(passes).toBe(5);
  });

  it('tries again after a failure and shows it in the status', async ({ expect }) => {
    let passes = 0;
    const { running } = start({
      pass: async () => {
        passes += 1;
        if (passes === 1) throw new Error('the database went away');
        return idle;
      },
    });
    await vi.waitUntil(() => passes === 2, inTime);
    await running.stop();
    expect(running.status()[0]).toMatchObject({ failuresInARow: 0, lastError: undefined });
  });

  it('stops only after the pass under way has ended, and tells it', async ({ expect }) => {
    const ended: string[] = [];
    const { running } = start({
      pass: async (signal) => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        ended.push('pass');
        return idle;
      },
    });
    await running.stop();
    expect(ended).toEqual(['pass']);
  });
});
