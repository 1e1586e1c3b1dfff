/** kill -9 at every step of attach and detach of a real function: it ends attached or available, never between, never twice. */
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

import { eventually } from '@cyborg/testing/processes';
import { afterAll, beforeAll, describe, inject, it } from 'vitest';

import { cards, mayPass, untilAvailable } from './attach.ts';
import { LabGuest } from './guests.ts';
import { openSite, untilHolds } from './holding.ts';
import { steps, victimFunction as address, watchLine, type Act } from './kill-marks.ts';
import { Lab, needsLab, patientMs } from './lab.ts';
import type { Site } from './site.ts';

needsLab();

/** What kills each, inside. It fails when there is nobody to kill. */
const victims = {
  agent: 'kill -KILL $(</run/cyborg-agent.pid)',
  driver: "kill -KILL $(pgrep -f '/drivers/generic/src/main[.]js')",
  /** Outside: killed when the line ends. */
  server: 'true',
} as const;
type Victim = keyof typeof victims;
type Round = readonly [Victim, Act, string];

const victimNames = ['agent', 'server', 'driver'] as const satisfies readonly Victim[];

/** Victims take turns: a driver that dies often is kept down. */
function roundsOf(act: Act): Round[] {
  return [...steps[act].keys()].flatMap((step) =>
    victimNames.map((who) => [who, act, step] as const),
  );
}

/** An attach, a detach, and so on: each needs what the other leaves. */
function alternating(attaches: readonly Round[], detaches: readonly Round[]): Round[] {
  const length = Math.max(attaches.length, detaches.length);
  return Array.from({ length }, (_, n) => [attaches[n], detaches[n]])
    .flat()
    .filter((round) => round !== undefined);
}

const rounds = alternating(roundsOf('attach'), roundsOf('detach'));

interface Watch extends AsyncDisposable {
  /** The step was seen, and its victim killed. @throws when not */
  readonly done: () => Promise<void>;
}

describe('kill -9 at each step of giving and taking a virtual function', { retry: 0 }, () => {
  let lab: Lab;
  let site: Site;
  let guest: LabGuest;

  beforeAll(async () => {
    if (inject('labMissing') !== null) return;
    lab = Lab.current();
    // What it says of its steps is how some of them are seen.
    site = await openSite(lab, { args: ['--log-level', 'debug'] });
    guest = await LabGuest.qemu(lab, 'holder');
    await site.untilInstance(guest.uuid);
    await untilAvailable(site, address);
  });
  afterAll(async () => {
    await guest?.stop();
    await site?.[Symbol.asyncDispose]();
    await lab?.tryRun(`echo 0 > /sys/bus/pci/devices/${cards.nvmePf}/sriov_numvfs`);
  });

  /** Kills as soon as the step's mark is there; resolves when the watch has begun. */
  async function watchFor(act: Act, step: string, victim: Victim): Promise<Watch> {
    const mark = steps[act].get(step) ?? 'false';
    const secondsMax = patientMs / 1000;
    const watch = lab.start(
      watchLine(mark, {
        guest: guest.name,
        kill: victims[victim],
        secondsMax,
      }),
    );
    const ended = once(watch, 'exit');
    const problem: Promise<string> =
      watch.stderr === null ? Promise.resolve('') : text(watch.stderr);
    if (watch.stdout !== null) await Promise.race([once(watch.stdout, 'data'), ended]);
    return {
      async done() {
        const [status]: unknown[] = await ended;
        if (status !== 0)
          throw new Error(`${step}: exit ${String(status)}, ${await problem}${site.logs()}`);
      },
      async [Symbol.asyncDispose]() {
        watch.kill('SIGTERM');
        await ended;
      },
    };
  }

  async function request(act: Act): Promise<object> {
    const params = { instance_id: guest.uuid };
    // A driver that was killed more than once is started later each time.
    await site.untilBackendsAre('ready');
    if (act === 'detach') return await site.v3.deleteAttachments({ params });
    const { id } = await untilAvailable(site, address);
    const asked = await eventually(
      async () => {
        try {
          return await site.v3.createAttachments({ params, body: { accelerator: id } });
        } catch (error) {
          // Of a driver that was killed a moment ago it is heard only now.
          return error instanceof Error && mayPass.test(error.message)
            ? undefined
            : { refused: error };
        }
      },
      { timeoutMs: patientMs, what: `${address} can be asked for`, context: () => site.logs() },
    );
    if ('refused' in asked) throw asked.refused;
    return asked;
  }

  async function startAgain(victim: Victim): Promise<void> {
    if (victim === 'agent') {
      const ended = (): boolean => site.agentHasEnded;
      await eventually(ended, { timeoutMs: patientMs, what: 'the agent is dead' });
      site.startAgent();
    } else if (victim === 'server') {
      await site.stopServer('SIGKILL');
      await site.startServer();
    }
  }

  /** Ends the act, whatever became of it: attached or available. @returns how the operation ended. */
  async function settle(asked: object): Promise<string> {
    const { state: end, kind } = await site.ended(asked);
    const isHeld = (kind === 'attach-instance') === (end === 'succeeded');
    await untilHolds(site, guest, isHeld ? [address] : []);
    if (!isHeld) await untilAvailable(site, address);
    return end;
  }

  /** What the act begins with: available, or attached. */
  async function begin(act: Act): Promise<void> {
    const isFree = (await site.at(address)).state !== 'attached';
    if (isFree === (act === 'attach')) return;
    await settle(await request(isFree ? 'attach' : 'detach'));
  }

  it.for(rounds)('of the %s during %s, at %s', async ([victim, act, step], { expect }) => {
    await begin(act);
    await using watch = await watchFor(act, step, victim);
    const asked = await request(act);
    await watch.done();
    await startAgain(victim);
    expect(await settle(asked)).toMatch(act === 'detach' ? 'succeeded' : /^(succeeded|failed)$/);
  });
});
