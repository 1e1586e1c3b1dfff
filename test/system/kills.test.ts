/** Promise 10: every multi-step act survives the death of any process at any step. */
import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { ApiError } from '@cyborg/api-client/errors';
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { Fleet, startTimeoutMs, type Host } from './fleet.ts';
import { commandOf, descendantsOf, killNow } from './process-tree.ts';
import { Epochs, settled } from './settled.ts';

/** Seconds where nothing else runs; two busy cores take their time to start a driver again. */
const settleMs = 60_000;
/** A driver that dies more often is quarantined. */
const driverKillsMax = 4;
/** From the request to the kill: an attach takes about 100 ms, so this falls on every step of it. */
const delayMsMax = 160;

type Victim = 'agent' | 'driver' | 'server' | 'postgres' | 'group';

async function openFleet(embedded: boolean): Promise<{ fleet: Fleet; host: Host; vm: string }> {
  const fleet = await Fleet.open({ embedded });
  await fleet.startServer({ detached: embedded });
  const [host] = await fleet.addHosts(['host-1', 'host-2']);
  await fleet.installVirtual(['host-1', 'host-2'], { crypto: 3, entropy: 0 });
  if (host === undefined) throw new Error('no host');
  return { fleet, host, vm: await fleet.instance('host-1') };
}

async function killAndRestart(fleet: Fleet, host: Host, victim: Victim): Promise<void> {
  if (victim === 'agent') {
    await host.kill();
    host.start();
    await eventually(() => host.agent?.output().includes('holding the lease'), {
      timeoutMs: startTimeoutMs,
      what: 'the agent holds the lease of the dead one',
      context: () => fleet.logs(),
    });
    // It did not have to wait for that lease to end.
    if (host.agent?.output().includes('another agent holds')) throw new Error(fleet.logs());
  } else if (victim === 'driver') {
    host.killDrivers();
    await fleet.untilAttachable();
  } else if (victim === 'postgres') {
    const pid = postmasterOf(fleet);
    if (pid === undefined) throw new Error(`no postmaster below the server: ${fleet.logs()}`);
    killNow(pid);
    await readyOrRestart(fleet, pid);
  } else {
    const { server } = fleet;
    if (server === undefined) throw new Error('no server runs');
    process.kill(victim === 'group' ? -server.pid : server.pid, 'SIGKILL');
    await server.ended;
    await fleet.startServer({ detached: fleet.isEmbedded });
  }
}

function postmasterOf({ server }: Fleet): number | undefined {
  return descendantsOf(server?.pid ?? -1).find((one) => /postgres.* -D /.test(commandOf(one)));
}

/** A server whose PostgreSQL died starts it again, or ends and is started again by its supervisor: us. */
async function readyOrRestart(fleet: Fleet, dead: number): Promise<void> {
  const { server } = fleet;
  if (server === undefined) throw new Error('no server');
  // Those that the dead one served may answer for a moment yet.
  await eventually(() => server.hasEnded() || (postmasterOf(fleet) ?? dead) !== dead, {
    timeoutMs: startTimeoutMs,
    what: 'the server ends or has another PostgreSQL',
    context: () => fleet.logs(),
  });
  await fleet.untilReady(server).catch((error: unknown) => {
    if (!server.hasEnded()) throw error;
  });
  if (server.hasEnded()) await fleet.startServer({ detached: true });
}

/** As a client does it: the same key until there is an answer. */
async function insist(fleet: Fleet, ask: () => Promise<object>): Promise<object | ApiError> {
  return eventually(
    async () => {
      try {
        return await ask();
      } catch (error) {
        if (error instanceof ApiError && error.status < 500 && !isForNow(error)) return error;
        throw error;
      }
    },
    { timeoutMs: settleMs, what: 'the server answers', context: () => fleet.logs() },
  );
}

/** A start of the server that takes longer than a lease finds the host down, until its agent has heard of it. */
function isForNow({ code }: ApiError): boolean {
  return code === 'idempotency-running' || code === 'host-not-ready';
}

/** @returns how many rounds ended settled: all, or it throws. */
async function rounds(victims: readonly Victim[], embedded: boolean): Promise<number> {
  const { fleet, host, vm } = await openFleet(embedded);
  await using _fleet = fleet;
  const epochs = new Epochs();
  for (const [at, victim] of victims.entries()) {
    await fleet.untilAttachable();
    const isAttach = at % 2 === 0;
    const count = randomInt(1, 4);
    const key = randomUUID();
    const ask = (): Promise<object> =>
      isAttach
        ? fleet.v3.createAttachments({
            params: { instance_id: vm },
            body: { count },
            headers: { 'idempotency-key': key },
          })
        : fleet.requestDetach(vm);
    const answer = insist(fleet, ask);
    await sleep(randomInt(delayMsMax));
    await killAndRestart(fleet, host, victim);
    const given = await answer;
    const about = `round ${at}, ${victim} killed: ${JSON.stringify(given)}`;
    // Without its driver a backend is stale, and an attach may be refused: but then as a whole.
    const isRefused = given instanceof ApiError;
    if (isAttach && isRefused && victim !== 'driver') throw new Error(about, { cause: given });
    if (!isRefused) await fleet.done(given, settleMs);
    await settled(fleet, { withinMs: settleMs, epochs }).catch((error: unknown) => {
      throw new Error(about, { cause: error });
    });
    const wanted = isAttach && !isRefused ? count : 0;
    if (host.devices().length !== wanted)
      throw new Error(`${about}: ${host.devices().length} devices, not ${wanted}`);
  }
  return victims.length;
}

const times = (count: number, victim: Victim): Victim[] =>
  Array.from({ length: count }, () => victim);

describe('kill -9 in the middle of attach and detach', { retry: 0 }, () => {
  it('of the agent: settled soon after it is ready again, nothing lost, nothing twice', async ({
    expect,
  }) => {
    expect(await rounds(times(8, 'agent'), false)).toBe(8);
  });

  it('of the driver', async ({ expect }) => {
    expect(await rounds(times(driverKillsMax, 'driver'), false)).toBe(driverKillsMax);
  });

  it('of the server', async ({ expect }) => {
    expect(await rounds(times(8, 'server'), false)).toBe(8);
  });

  it('of PostgreSQL, of its process group, and of the server on it', async ({ expect }) => {
    const victims: Victim[] = ['postgres', 'postgres', 'group', 'group', 'server', 'server'];
    expect(await rounds(victims, true)).toBe(victims.length);
  });
});
