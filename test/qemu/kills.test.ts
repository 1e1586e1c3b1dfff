import { afterAll, beforeAll, describe, it } from 'vitest';

import { systemClock } from '@cyborg/service/clock';
import { eventually } from '@cyborg/testing/processes';

import { guardGuests } from './guest-guard.ts';
import { patientMs } from './guest.ts';
import { Installation, killed } from './installation.ts';
import { createProfiles, Scene } from './scene.ts';
import { settle } from './settled.ts';

const problem = guardGuests();

const victims = ['agent', 'driver', 'server', 'postmaster', 'everything'] as const;
type Victim = (typeof victims)[number];

interface Round {
  readonly act: 'attach' | 'detach';
  /** How many the guest holds when the act is done. */
  readonly heldThen: number;
  readonly moment: () => Promise<void>;
}
const attach = { act: 'attach', heldThen: 1 } as const;
const detach = { act: 'detach', heldThen: 0 } as const;

/** More rounds with `CYBORG_TEST_ROUNDS`, other moments with `CYBORG_TEST_SEED`. */
const rounds = Number(process.env['CYBORG_TEST_ROUNDS'] ?? 1);
const seed = Number(process.env['CYBORG_TEST_SEED'] ?? 1);
const attachMsMax = 120;
const detachMsMax = 700;

/** A small generator (mulberry32), so that a seed gives the same moments again. */
function makeFraction(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe.skipIf(problem !== null)(
  'kill -9 in the middle of attach and detach',
  { retry: 0 },
  () => {
    const fraction = makeFraction(seed);
    let cyborg: Installation;
    let scene: Scene;
    const longest = { ms: 0 };
    const counts = { before: 0, after: 0 };

    beforeAll(async () => {
      cyborg = await Installation.start();
      scene = await Scene.open(cyborg, 'web');
      await createProfiles(cyborg);
      await scene.guest.says(/^CYBORG-GUEST READY/);
    });
    afterAll(async () => {
      console.log(`${counts.before} kills before the end of an act, ${counts.after} after it`);
      console.log(`settled at most ${longest.ms} ms after ready again; seed ${seed}`);
      await scene?.[Symbol.asyncDispose]();
      await cyborg?.[Symbol.asyncDispose]();
    });

    async function pidsOf(victim: Victim): Promise<number[]> {
      if (victim === 'everything') return cyborg.processes().map(({ pid }) => pid);
      return [await pidOf(victim)];
    }

    /** Killed a moment ago, it may not run again yet. */
    async function pidOf(victim: Exclude<Victim, 'everything'>): Promise<number> {
      return eventually(() => cyborg.find(victim)?.pid, {
        timeoutMs: patientMs,
        what: `${victim} runs`,
        context: () => cyborg.logs(),
      });
    }

    /** Restarts what does not restart by itself and waits until all is settled. */
    async function recover(): Promise<number> {
      await cyborg.startAgain();
      const { held, ms } = await settle(scene);
      longest.ms = Math.max(longest.ms, ms);
      return held.length;
    }

    /** Begins the act, kills at the moment, and waits until all is settled. @returns how the act ended. */
    async function killAt(victim: Victim, { act, heldThen, moment }: Round): Promise<string> {
      const pids = await pidsOf(victim);
      const operation = await scene[act]();
      await moment();
      const at = new Date();
      await killed(pids);
      if (pids.includes(cyborg.program.pid)) await cyborg.program.ended;
      const held = await recover();
      const end = await scene.endOf(operation);
      counts[end.at > at ? 'before' : 'after'] += 1;
      if ((held === heldThen) !== (end.state === 'succeeded')) {
        throw new Error(`${act} ${end.state}, but ${held} are held`);
      }
      if (held === heldThen) return end.state;
      await scene[act]();
      await recover();
      return end.state;
    }

    const within = (msMax: number) => async (): Promise<void> =>
      systemClock.sleep(fraction() * msMax);

    it.for(victims)('of %s: all is settled afterwards', async (victim, { expect }) => {
      const ends: string[] = [];
      if ((await recover()) > 0) {
        await scene.detach(); // what an earlier test left
        await recover();
      }
      for (let round = 0; round < rounds; round += 1) {
        const { witness } = scene;
        ends.push(await killAt(victim, { ...attach, moment: within(attachMsMax) }));
        ends.push(await killAt(victim, { ...detach, moment: within(detachMsMax) }));
        const before = await witness.devices();
        ends.push(await killAt(victim, { ...attach, moment: () => witness.plugged(before) }));
        const deleted = witness.deleted();
        ends.push(await killAt(victim, { ...detach, moment: () => deleted }));
      }
      expect(ends).toHaveLength(rounds * 4);
      console.log(`${victim}: operations ${ends.join(', ')}`);
    });
  },
);
