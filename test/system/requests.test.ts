/** Accelerator requests as Nova lives them, with a real server, a real agent and the fake driver's TEST_PCI handles. */
import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { ApiError } from '@cyborg/api-client/errors';
import { carriedOut } from '@cyborg/testing/carried-out';
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { Fleet, actMs, type Host } from './fleet.ts';

const path = '/v2/accelerator_requests';
const profile = 'fake';
/** More than a bind waits for cleaning. */
const bindTimeoutMs = 45_000;
/** From the request to the kill: a bind takes about 10 ms. */
const delayMsMax = 25;

interface Arq {
  readonly uuid: string;
  readonly state: string;
  readonly attach_handle_type: string;
}

/** What Nova would ask of it. */
class Nova {
  readonly #fleet: Fleet;
  readonly #rpUuid: string;

  constructor(fleet: Fleet, rpUuid: string) {
    this.#fleet = fleet;
    this.#rpUuid = rpUuid;
  }

  async create(): Promise<string[]> {
    const body = { device_profile_name: profile };
    const answer = await this.#fleet.http.request({ method: 'POST', path, body });
    return arqsOf(answer.body).map(({ uuid }) => uuid);
  }

  async bind(arqs: readonly string[], instance: string): Promise<void> {
    const values = { hostname: 'host-1', device_rp_uuid: this.#rpUuid, instance_uuid: instance };
    const patches = Object.entries(values).map(([name, value]) => ({
      path: `/${name}`,
      op: 'add',
      value,
    }));
    const body = Object.fromEntries(arqs.map((arq) => [arq, patches]));
    await this.#fleet.http.request({ method: 'PATCH', path, body, timeoutMs: bindTimeoutMs });
  }

  async read(query: Record<string, string> = {}): Promise<Arq[]> {
    const answer = await this.#fleet.http.request({ method: 'GET', path, query });
    return arqsOf(answer.body);
  }

  async remove(instance: string): Promise<void> {
    await this.#fleet.http.request({ method: 'DELETE', path, query: { instance } });
  }
}

function arqsOf(body: unknown): Arq[] {
  return (body as { arqs: Arq[] }).arqs;
}

/** A host whose card has so many handles; a profile asks for all of them. */
async function openScene(handles: number): Promise<{ fleet: Fleet; host: Host; nova: Nova }> {
  const fleet = await Fleet.open();
  await fleet.startServer();
  const [host] = await fleet.addHosts(['host-1']);
  if (host === undefined) throw new Error('no host');
  const backends = [{ name: 'card', kind: 'card', hosts: ['host-1'], config: { count: handles } }];
  await fleet.done(fleet.v3.installDriver({ params: { driver_id: 'fake' }, body: { backends } }));
  const groups = [{ 'resources:FPGA': String(handles) }];
  carriedOut(await fleet.v3.createProfile({ body: { name: profile, groups } }));
  const { body } = await fleet.http.request({ method: 'GET', path: '/v2/deployables' });
  const { deployables } = body as { deployables: { name: string; rp_uuid: string | null }[] };
  const card = deployables.find(({ name }) => name === 'host-1_FakeDevice');
  if (typeof card?.rp_uuid !== 'string') throw new Error(`no card: ${JSON.stringify(deployables)}`);
  return { fleet, host, nova: new Nova(fleet, card.rp_uuid) };
}

async function statesOf(fleet: Fleet): Promise<string[]> {
  const { items } = await fleet.v3.listAccelerators({ query: { driver_id: 'fake' } });
  return items.map(({ state }) => state);
}

describe('a card with one handle', () => {
  it('goes from server to server, each bound as soon as the agent has cleaned it after the last', async ({
    expect,
  }) => {
    const { fleet, nova } = await openScene(1);
    await using _ = fleet;
    for (let round = 0; round < 5; round++) {
      const instance = randomUUID();
      const arqs = await nova.create();
      await nova.bind(arqs, instance);
      expect(await nova.read({ instance, bind_state: 'resolved' })).toMatchObject([
        { uuid: arqs[0], state: 'Bound', attach_handle_type: 'TEST_PCI' },
      ]);
      await nova.remove(instance);
    }
    expect(await nova.read()).toEqual([]);
  });

  it('stays out while its host is down, and is given when the host is back and has cleaned it', async ({
    expect,
  }) => {
    const { fleet, host, nova } = await openScene(1);
    await using _ = fleet;
    const [first, second] = [randomUUID(), randomUUID()];
    await nova.bind(await nova.create(), first);
    await host.kill();
    await nova.remove(first);
    const arqs = await nova.create();
    await eventually(
      async () => (await fleet.v3.showHost({ params: { host: 'host-1' } })).state === 'down',
      { timeoutMs: actMs, what: 'the host is down', context: () => fleet.logs() },
    );
    expect(await statesOf(fleet)).toEqual(['cleaning']);
    host.start();
    // On a busy machine the agent may take longer to come back than one bind waits.
    await eventually(() => nova.bind(arqs, second).then(() => true), {
      timeoutMs: 150_000,
      what: 'the handle is clean and bound',
      context: () => fleet.logs(),
    });
    expect(await nova.read({ instance: second })).toMatchObject([{ state: 'Bound' }]);
  });
});

describe('a server that dies during binds and deletes', { retry: 0 }, () => {
  it('has done all of each or nothing, and nothing is lost', async ({ expect }) => {
    const { fleet, nova } = await openScene(3);
    await using _ = fleet;
    for (let round = 0; round < 6; round++) {
      const instance = randomUUID();
      const arqs = await nova.create();
      const asked = (
        round % 2 === 0
          ? nova.bind(arqs, instance)
          : nova.bind(arqs, instance).then(() => nova.remove(instance))
      ).catch((error: unknown) => error);
      await sleep(randomInt(delayMsMax));
      await fleet.server?.end('SIGKILL');
      await asked;
      await fleet.startServer();
      const left = await nova.read();
      const kinds = new Set(left.map(({ state }) => state));
      expect(kinds.size, JSON.stringify(left)).toBeLessThanOrEqual(1);
      expect([0, arqs.length]).toContain(left.length);
      if (kinds.has('Bound')) await nova.remove(instance);
      else if (left.length > 0) await removeAll(fleet, arqs);
    }
    await eventually(async () => (await statesOf(fleet)).every((state) => state === 'available'), {
      timeoutMs: actMs,
      what: 'all handles are clean',
      context: () => fleet.logs(),
    });
    expect(await nova.read()).toEqual([]);
  });
});

/** Its answer may be lost as well. */
async function removeAll(fleet: Fleet, arqs: readonly string[]): Promise<void> {
  await fleet.http
    .request({ method: 'DELETE', path, query: { arqs: arqs.join(',') } })
    .catch((error: unknown) => {
      if (!(error instanceof ApiError)) throw error;
    });
}
