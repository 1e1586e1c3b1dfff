import { EventEmitter } from 'node:events';

import { makeTestClock } from '@cyborg/testing/clock';
import { describe, it } from 'vitest';

import { makeLogger } from './logging.ts';
import { makeShutdown } from './shutdown.ts';

function setUp() {
  const clock = makeTestClock();
  const exits: number[] = [];
  const log = makeLogger({ name: 'test', level: 'silent', clock });
  const shutdown = makeShutdown({
    clock,
    log,
    timeLimitMs: 1000,
    exit: (code) => exits.push(code),
  });
  const signals = new EventEmitter();
  shutdown.listen(signals);
  return { clock, exits, shutdown, signals };
}

describe('shutdown', () => {
  it('stops the parts in the reverse order of their start, then exits', async ({ expect }) => {
    const { exits, shutdown, signals } = setUp();
    const stopped: string[] = [];
    shutdown.add('database', async () => void stopped.push('database'));
    shutdown.add('http', () => void stopped.push('http'));
    signals.emit('SIGTERM');
    await shutdown.begin('again');
    expect(shutdown.signal.aborted).toBe(true);
    expect(stopped).toEqual(['http', 'database']);
    expect(exits).toEqual([0]);
  });

  it('goes on after a part that fails, and exits with 1', async ({ expect }) => {
    const { exits, shutdown } = setUp();
    let isStopped = false;
    shutdown.add('database', () => {
      isStopped = true;
    });
    shutdown.add('http', () => Promise.reject(new Error('no')));
    await shutdown.begin('test');
    expect(isStopped).toBe(true);
    expect(exits).toEqual([1]);
  });

  it('gives up a part that hangs after the time limit', async ({ expect }) => {
    const { clock, exits, shutdown } = setUp();
    shutdown.add('http', () => new Promise(() => {}));
    const ended = shutdown.begin('test');
    await clock.advance(1000);
    await ended;
    expect(exits).toEqual([1]);
  });

  it('leaves at once on a second signal', ({ expect }) => {
    const { exits, shutdown, signals } = setUp();
    shutdown.add('http', () => new Promise(() => {}));
    signals.emit('SIGINT');
    expect(exits).toEqual([]);
    signals.emit('SIGINT');
    expect(exits).toEqual([130]);
  });
});
