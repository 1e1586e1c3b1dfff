/** Servers whose profile wants a program image in the card first: a quick card, a slow one, and one that fails. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { asList, asObject, asText, type JsonObject } from '@cyborg/openstack/reader';
import { afterAll, beforeAll, describe, inject, it, onTestFinished } from 'vitest';

import {
  awaitFree,
  cardAccelerators,
  cardFlavor,
  installDrivers,
  lookAtCard,
  makeCardFlavor,
  offerCards,
  setCard,
} from './card.ts';
import { acceleratorClient, openStackClient } from './commands.ts';
import { isFullRun, labSettings, needsLab, sessionOf } from './lab.ts';
import { awaitNovaTookEvent } from './nova-log.ts';
import { bootActive, bootServer, type Server } from './servers.ts';
import { until } from './until.ts';

needsLab();

/** Longer than a PATCH is held by default (`--bind-inline`, 50 s), shorter than Nova waits besides. */
const slowSeconds = 70;
const testMs = 600_000;
const seenSeconds = 180;

beforeAll(async () => {
  if (inject('openStackMissing') !== null) return;
  await installDrivers();
  await awaitFree();
});
afterAll(async () => {
  if (inject('openStackMissing') === null) await setCard();
});

const admin = acceleratorClient('admin');

/** In Glance, for the time of the test. */
async function makeImage(name: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'cyborg-image-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, name);
  writeFileSync(file, `${name} ${crypto.randomUUID()}\n`.repeat(10_000));
  const openstack = openStackClient('admin');
  const format = ['--disk-format', 'raw', '--container-format', 'bare'];
  const made = await openstack.show('image', 'create', ...format, '--file', file, name);
  const id = asText(made['id'], 'id');
  onTestFinished(async () => void (await openstack('image', 'delete', id)));
  return id;
}

async function ask(path: string): Promise<JsonObject> {
  using session = sessionOf('admin');
  const headers = { 'openstack-api-version': 'accelerator 2.3' };
  const request = { type: 'accelerator', service: 'Cyborg', method: 'GET', path, headers } as const;
  return asObject((await session.request(request)).body, 'the answer');
}

async function arqsOf(server: Server): Promise<JsonObject[]> {
  const { arqs } = await ask(`/accelerator_requests?instance=${server.id}`);
  return asList(arqs, 'arqs').map((each) => asObject(each, 'an ARQ'));
}

async function card(): Promise<{ id: string; image: unknown }> {
  const all = asList((await ask('/deployables'))['deployables'], 'deployables');
  const name = `${labSettings().host}_FakeDevice`;
  const own = all
    .map((each) => asObject(each, 'a deployable'))
    .find((each) => each['name'] === name);
  return { id: asText(own?.['uuid'], 'uuid'), image: own?.['bitstream_id'] };
}

/** `openstack accelerator deployable program`, as an admin does between two users. */
async function program(image: string): Promise<void> {
  await admin.show('deployable', 'program', (await card()).id, image);
}

async function flavorFor(image: string): Promise<void> {
  const flavor = await makeCardFlavor({ 'accel:bitstream_id': image });
  onTestFinished(() => flavor[Symbol.asyncDispose]());
}

async function end(server: Server): Promise<void> {
  await server.remove();
  await server.awaitGone();
  await awaitFree();
}

/** The writing goes on, and nova-compute, which has the answer of the PATCH, waits for the event. */
async function awaitAnsweredBefore(server: Server): Promise<void> {
  await until({ what: 'nova-compute waits for the event', seconds: seenSeconds }, async () => {
    const [arq] = await arqsOf(server);
    return (await server.look())?.host && arq?.['state'] === 'BindStarted' ? true : undefined;
  });
}

describe('a server whose profile names a program image', { timeout: testMs }, () => {
  it('goes ACTIVE when the image is in the card; unshelved, it waits until it is there again', async ({
    expect,
  }) => {
    await setCard({ program_seconds: 2 });
    const [first, second] = [await makeImage('f-first'), await makeImage('f-second')];
    await flavorFor(first);
    await offerCards(1);
    const server = await bootActive({ flavor: cardFlavor });
    expect(await arqsOf(server)).toMatchObject([{ state: 'Bound', instance_uuid: server.id }]);
    expect((await card()).image).toBe(first);
    await server.act({ shelve: null });
    await server.reach('SHELVED_OFFLOADED');
    await awaitFree();
    await program(second);
    expect((await card()).image).toBe(second);
    await offerCards(1);
    await server.act({ unshelve: null });
    await server.reach('ACTIVE');
    expect(await arqsOf(server)).toMatchObject([{ state: 'Bound', instance_uuid: server.id }]);
    expect((await card()).image).toBe(first);
    await end(server);
  });

  it(`${slowSeconds} s are longer than the PATCH is held: it is ACTIVE when Nova has our event`, async ({
    expect,
  }) => {
    await setCard({ program_seconds: slowSeconds });
    const image = await makeImage('f-slow');
    await flavorFor(image);
    await offerCards(1);
    const server = await bootServer({ flavor: cardFlavor, user: 'admin' });
    await awaitAnsweredBefore(server);
    await server.reach('ACTIVE');
    const [arq] = await arqsOf(server);
    expect(arq).toMatchObject({ state: 'Bound', attach_handle_type: 'TEST_PCI' });
    await awaitNovaTookEvent(asText(arq?.['uuid'], 'uuid'));
    expect((await card()).image).toBe(image);
    await end(server);
  });

  const durations = isFullRun ? [1, slowSeconds] : [1];
  it.for(durations)(
    'a card that fails after %s s: ERROR, the card is withheld, and another image is the way out',
    async (seconds, { expect }) => {
      await setCard({ program_seconds: seconds, program_fails: true });
      const [bad, good] = [await makeImage('f-bad'), await makeImage('f-good')];
      onTestFinished(async () => {
        await setCard();
        await program(good);
      });
      await flavorFor(bad);
      await offerCards(1);
      const server = await bootServer({ flavor: cardFlavor, user: 'admin' });
      if (seconds === slowSeconds) await awaitAnsweredBefore(server);
      // Nova keeps no fault of a bind that is refused.
      expect(await server.settle()).toMatchObject({ status: 'ERROR' });
      await until({ what: 'Nova has deleted the request', seconds: seenSeconds }, async () =>
        (await arqsOf(server)).length === 0 ? true : undefined,
      );
      const states = (await cardAccelerators()).map(({ state }) => state);
      expect(new Set(states)).toEqual(new Set(['withheld']));
      await setCard();
      await program(good);
      expect((await card()).image).toBe(good);
      await end(server);
      await offerCards(1);
      expect(await lookAtCard()).toEqual({ offered: 1, used: 0, holders: [] });
    },
  );
});
