/** What each of Nova's operations does to what was bound at boot, and to what was attached: docs/reference/nova-operations.md. */
import {
  attachableStatuses,
  novaOperations,
  wayToAttach,
  type NovaOperation,
} from '@cyborg/model/nova-operations';
import { asList, asObject, type JsonObject } from '@cyborg/openstack/reader';
import { beforeAll, describe, inject, it, onTestFinished, type ExpectStatic } from 'vitest';

import { attach, attachmentsOf, awaitInGuest, awaitReady, guestSeconds } from './attached.ts';
import {
  allocationsOf,
  awaitFree,
  cardFlavor,
  installDrivers,
  makeCardFlavor,
  offerCards,
} from './card.ts';
import { cyborg } from './commands.ts';
import { configure } from './lab-services.ts';
import { needsLab, sessionOf } from './lab.ts';
import { bootActive, imageOf, pluggedInto, type Server } from './servers.ts';
import { until } from './until.ts';

needsLab();

const testMs = 900_000;
const plain = 't1.tiny';
const runningStatuses: readonly string[] = ['ACTIVE', 'PAUSED', 'RESCUE'];
const attachWords = (server: Server): string[] => [
  'attach-instance',
  server.id,
  '--driver',
  'generic',
];

beforeAll(async () => {
  if (inject('openStackMissing') !== null) return;
  await installDrivers();
  await awaitFree();
});

/** In an order in which each finds the server as it needs it. */
const acts: Readonly<Record<string, () => object | Promise<object>>> = {
  pause: () => ({ pause: null }),
  unpause: () => ({ unpause: null }),
  suspend: () => ({ suspend: null }),
  resume: () => ({ resume: null }),
  stop: () => ({ 'os-stop': null }),
  start: () => ({ 'os-start': null }),
  'soft reboot': () => ({ reboot: { type: 'SOFT' } }),
  'hard reboot': () => ({ reboot: { type: 'HARD' } }),
  rescue: () => ({ rescue: {} }),
  unrescue: () => ({ unrescue: null }),
  rebuild: async () => ({ rebuild: { imageRef: await imageOf('tiny') } }),
  shelve: () => ({ shelve: null }),
  unshelve: () => ({ unshelve: null }),
};

/** Which the walks leave out, and where they are instead. */
const elsewhere: Readonly<Record<string, string>> = {
  'soft-delete': 'a test of its own, for which Nova is configured otherwise',
  lock: 'a test of its own',
  delete: 'boot.test.ts and attach.test.ts',
  'resize, cold migration': 'refused to what was bound at boot, below; another host: Nova’s code',
  'live migration': 'as resize',
  evacuate: 'evacuate.test.ts',
  'host down': 'packages/conductor/src/reconcilers/reconcilers.test.ts',
  'host deleted': 'packages/conductor/src/nova/deleted-servers.test.ts',
};

const operationOf = (name: string): NovaOperation => {
  const found = novaOperations.find((operation) => operation.name === name);
  if (found === undefined) throw new Error(`the table has no ${name}`);
  return found;
};

it('leaves out none of the table', ({ expect }) => {
  const all = novaOperations.map(({ name }) => name).toSorted();
  expect([...Object.keys(acts), ...Object.keys(elsewhere)].toSorted()).toEqual(all);
});

async function arqsOf(server: Server): Promise<JsonObject[]> {
  using session = sessionOf('admin');
  const path = `/accelerator_requests?instance=${server.id}`;
  const request = { type: 'accelerator', service: 'Cyborg', method: 'GET', path } as const;
  const { arqs } = asObject((await session.request(request)).body, 'the answer');
  return asList(arqs, 'arqs').map((each) => asObject(each, 'an ARQ'));
}

interface Holding {
  readonly server: Server;
  /** The attachment, or the ARQ. */
  readonly before: readonly JsonObject[];
}

async function attached(): Promise<Holding> {
  const server = await bootActive({ flavor: plain });
  await awaitReady(server);
  await attach('demo', server);
  await awaitInGuest(server, 1);
  return { server, before: await attachmentsOf(server) };
}

async function boundAtBoot(): Promise<Holding> {
  await offerCards(1);
  const flavor = await makeCardFlavor();
  onTestFinished(() => flavor[Symbol.asyncDispose]());
  const server = await bootActive({ flavor: cardFlavor });
  return { server, before: await arqsOf(server) };
}

const idsOf = (rows: readonly JsonObject[]): unknown[] => rows.map(({ id }) => id);

async function expectAttachedAfter(
  expect: ExpectStatic,
  { name, status }: NovaOperation,
  { server, before }: Holding,
): Promise<void> {
  if (name === 'resume') {
    // The console's log begins anew there, and the guest has nothing to say.
    await until({ what: 'it is in the resumed machine', seconds: guestSeconds }, async () =>
      (await pluggedInto(server.id)).length === 1 ? true : undefined,
    );
  } else if (status !== null && runningStatuses.includes(status)) {
    await awaitInGuest(server, 1);
  }
  const now = await attachmentsOf(server);
  expect({ name, ids: idsOf(now) }).toEqual({ name, ids: idsOf(before) });
  const held = await allocationsOf(String(now[0]?.['id']));
  expect({ name, held: Object.values(held) }).toEqual({
    name,
    held: [{ CUSTOM_CYBORG_ENTROPY: 1 }],
  });
  if (status === null || attachableStatuses.includes(status)) return;
  const refused = await cyborg('demo', ...attachWords(server));
  expect({ name, ...refused }).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`is ${status} in Nova: ${wayToAttach(status)}`),
  });
}

describe('Nova does to a running server’s', { timeout: testMs }, () => {
  it('attachment what the table says: it is in the guest again whenever that runs', async ({
    expect,
  }) => {
    const holding = await attached();
    expect(holding.before).toHaveLength(1);
    for (const [name, act] of Object.entries(acts)) {
      const operation = operationOf(name);
      await holding.server.act(await act());
      await holding.server.reach(operation.status ?? '');
      await expectAttachedAfter(expect, operation, holding);
    }
  });

  it('accelerator request of its boot what the table says: the same, a new one, or refused', async ({
    expect,
  }) => {
    const { server, before } = await boundAtBoot();
    for (const [name, act] of Object.entries(acts)) {
      const operation = operationOf(name);
      if (operation.nova === 'refused') {
        await expect(server.act(await act()), name).rejects.toMatchObject({ status: 400 });
        continue;
      }
      if (name === 'resume') continue; // it was not suspended
      await server.act(await act());
      await server.reach(operation.status ?? '');
      const now = await arqsOf(server);
      if (operation.nova === 'released') {
        expect({ name, now }).toEqual({ name, now: [] });
        await awaitFree();
      } else if (name === 'unshelve') {
        expect(now).toMatchObject([{ state: 'Bound', instance_uuid: server.id }]);
        expect(now[0]?.['uuid']).not.toBe(before[0]?.['uuid']);
      } else {
        expect({ name, now }).toEqual({ name, now: before });
      }
    }
    for (const refused of [
      { migrate: null },
      { 'os-migrateLive': { host: null, block_migration: 'auto' } },
    ]) {
      using session = sessionOf('admin');
      const path = `/servers/${server.id}/action`;
      const headers = { 'openstack-api-version': 'compute 2.79' };
      const request = { type: 'compute', service: 'Nova', method: 'POST', path, headers } as const;
      await expect(session.request({ ...request, body: refused })).rejects.toMatchObject({
        status: 400,
      });
    }
  });

  it('lock: only an admin attaches then, and its owner may detach', async ({ expect }) => {
    const { server } = await attached();
    await server.act({ lock: null });
    expect(await cyborg('demo', ...attachWords(server))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is locked in Nova: unlock it (openstack server unlock)'),
    });
    await attach('admin', server);
    await awaitInGuest(server, 2);
    expect(await cyborg('demo', 'detach-instance', server.id)).toMatchObject({ code: 0 });
    expect(await attachmentsOf(server)).toEqual([]);
    await server.act({ unlock: null });
    await attach('demo', server);
    await awaitInGuest(server, 1);
  });

  it('soft-delete and restore: it has what it had, of either origin', async ({ expect }) => {
    const [plugged, bound] = [await attached(), await boundAtBoot()];
    await configure({ OSTB_RECLAIM_SECONDS: 3600 });
    for (const { server } of [plugged, bound]) {
      await server.remove();
      await server.reach('SOFT_DELETED');
    }
    await expectAttachedAfter(expect, operationOf('soft-delete'), plugged);
    expect(await arqsOf(bound.server)).toEqual(bound.before);
    for (const { server } of [plugged, bound]) {
      await server.act({ restore: null });
      await server.reach('ACTIVE');
    }
    await awaitInGuest(plugged.server, 1);
    expect(idsOf(await attachmentsOf(plugged.server))).toEqual(idsOf(plugged.before));
    expect(await arqsOf(bound.server)).toEqual(bound.before);
  });
});
