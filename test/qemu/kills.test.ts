import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { systemClock } from '@cyborg/service/clock';
import { eventually } from '@cyborg/testing/processes';

import { Guest, whyNoGuest } from './guest.ts';
import { Installation, killed } from './installation.ts';
import { settle, type Scene } from './settled.ts';
import { summarize } from './summary.ts';
import { Witness } from './witness.ts';

const problem = whyNoGuest();
if (problem !== null) console.warn(`skipped: ${problem}`);
const isMust = process.env['CI'] === 'true';

it.runIf(isMust && problem !== null)('has a guest, as CI must', ({ expect }) => {
  expect.fail(problem ?? '');
});

const victims = ['agent', 'driver', 'server', 'postmaster', 'everything'] as const;
type Victim = (typeof victims)[number];

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

describe.skipIf(problem !== null)('kill -9 in the middle of attach and detach', () => {
  const fraction = makeFraction(seed);
  let scene: Scene;
  const longest = { ms: 0 };

  beforeAll(async () => {
    const cyborg = await Installation.start();
    const { qmpDir: qmpDirectory, stateDir } = cyborg;
    const more = Witness.arguments(stateDir, 'web');
    const guest = new Guest({ name: 'web', qmpDirectory, uuid: randomUUID(), more });
    scene = { cyborg, guest, witness: await Witness.of(stateDir, 'web') };
    await guest.says(/^CYBORG-GUEST READY/);
    const api = await cyborg.admin();
    await eventually(async () => (await api.listInstances({})).items.length === 1, {
      timeoutMs: 20_000,
      what: 'the instance is listed',
    });
    const profile = { name: 'rng', groups: [{ 'resources:CUSTOM_CYBORG_ENTROPY': '1' }] };
    await api.createProfile({ body: profile });
  });
  afterAll(async () => {
    console.log(`settled at most ${longest.ms} ms after ready again; seed ${seed}`);
    scene?.witness[Symbol.dispose]();
    await scene?.guest.kill();
    await scene?.cyborg[Symbol.asyncDispose]();
  });
  summarize('kills');

  async function attach(): Promise<string> {
    const api = await scene.cyborg.admin();
    const params = { instance_id: scene.guest.uuid };
    const answer = await api.createAttachments({ params, body: { profile: 'rng' } });
    if (!('id' in answer)) throw new Error('a dry run');
    return answer.id;
  }

  async function detach(): Promise<string> {
    const api = await scene.cyborg.admin();
    const answer = await api.deleteAttachments({ params: { instance_id: scene.guest.uuid } });
    if (!('id' in answer)) throw new Error('a dry run');
    return answer.id;
  }

  async function stateOf(operation: string): Promise<string> {
    const api = await scene.cyborg.admin();
    return (await api.showOperation({ params: { id: operation } })).state;
  }

  async function kill(victim: Victim): Promise<void> {
    const { cyborg } = scene;
    const pids =
      victim === 'everything' ? cyborg.processes().map(({ pid }) => pid) : [await pidOf(victim)];
    await killed(pids);
    if (victim === 'server' || victim === 'everything') await cyborg.program.ended;
  }

  /** Killed a moment ago, it may not run again yet. */
  async function pidOf(victim: Exclude<Victim, 'everything'>): Promise<number> {
    return eventually(() => scene.cyborg.find(victim)?.pid, {
      timeoutMs: 20_000,
      what: `${victim} runs`,
      context: () => scene.cyborg.logs(),
    });
  }

  /** Restarts what does not restart by itself and waits until all is settled. */
  async function recover(): Promise<number> {
    await scene.cyborg.startAgain();
    const { held, ms } = await settle(scene);
    longest.ms = Math.max(longest.ms, ms);
    return held.length;
  }

  async function killedAttach(victim: Victim, moment: () => Promise<void>): Promise<string> {
    const operation = await attach();
    await moment();
    await kill(victim);
    const held = await recover();
    const state = await stateOf(operation);
    if (held !== (state === 'succeeded' ? 1 : 0)) throw new Error(`${state}, but ${held} held`);
    if (held === 0) {
      await attach();
      await recover();
    }
    return state;
  }

  async function killedDetach(victim: Victim, moment: () => Promise<void>): Promise<string> {
    const operation = await detach();
    await moment();
    await kill(victim);
    const held = await recover();
    const state = await stateOf(operation);
    if (held !== (state === 'succeeded' ? 0 : 1)) throw new Error(`${state}, but ${held} held`);
    if (held === 1) {
      await detach();
      await recover();
    }
    return state;
  }

  const within = (msMax: number) => async (): Promise<void> =>
    systemClock.sleep(fraction() * msMax);

  it.for(victims)('of %s: all is settled afterwards', async (victim, { expect }) => {
    const ends: string[] = [];
    if ((await recover()) > 0) {
      await detach(); // what an earlier test left
      await recover();
    }
    for (let round = 0; round < rounds; round += 1) {
      const { witness } = scene;
      ends.push(await killedAttach(victim, within(attachMsMax)));
      ends.push(await killedDetach(victim, within(detachMsMax)));
      const before = await witness.devices();
      ends.push(await killedAttach(victim, () => witness.plugged(before)));
      const deleted = witness.deleted();
      ends.push(await killedDetach(victim, () => deleted));
    }
    expect(ends).toHaveLength(rounds * 4);
    console.log(`${victim}: operations ${ends.join(', ')}`);
  });
});
