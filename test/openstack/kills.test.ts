/** Processes killed in the middle, Keystone and Placement away for a while: everything converges, nothing is lost. */
import http from 'node:http';
import { once } from 'node:events';

import { asText } from '@cyborg/openstack/reader';
import { beforeAll, describe, inject, it, onTestFinished } from 'vitest';

import {
  attach,
  attachmentsOf,
  awaitAvailable,
  awaitInGuest,
  awaitNothingAllocated,
  awaitReady,
  guestSeconds,
} from './attached.ts';
import {
  allocationsOf,
  awaitFree,
  cardAccelerators,
  cardFlavor,
  installDrivers,
  lookAtCard,
  makeCardFlavor,
  offerCards,
} from './card.ts';
import { acceleratorClient, cyborg } from './commands.ts';
import { isOurs, kill, start, without, type LabService } from './lab-services.ts';
import { labSettings, needsLab, sessionOf } from './lab.ts';
import { bootActive, bootServer, pluggedInto, type Server } from './servers.ts';
import { until } from './until.ts';

needsLab();

const testMs = 600_000;
const plain = 't1.tiny';

beforeAll(async () => {
  if (inject('openStackMissing') === null) await installDrivers();
});

async function guest(): Promise<Server> {
  const server = await bootActive({ flavor: plain });
  await awaitReady(server);
  return server;
}

async function withCardFlavor(): Promise<void> {
  await offerCards(1);
  const flavor = await makeCardFlavor();
  onTestFinished(() => flavor[Symbol.asyncDispose]());
}

async function awaitBound(server: Server): Promise<void> {
  const admin = acceleratorClient('admin');
  await until({ what: 'Nova has bound its request', seconds: guestSeconds }, async () => {
    const arqs = await admin.list('arq', 'list');
    return arqs.some(({ instance_uuid: id }) => id === server.id) ? true : undefined;
  });
}

/** Whatever became of it: deleted, it leaves nothing. */
async function endBoot(server: Server): Promise<void> {
  await server.settle();
  await server.remove();
  await server.awaitGone();
  await awaitFree();
}

describe('killed in the middle', { timeout: testMs }, () => {
  it.for<LabService>(['cyborg-server', 'cyborg-agent', 'libvirtd'])(
    '%s: an attach and a detach that were acknowledged are carried out',
    async (service, { expect, skip }) => {
      skip(!isOurs(service), `${service} is shared with the machine`);
      const server = await guest();
      const words = ['attach-instance', server.id, '--driver', 'generic', '--no-wait'];
      expect(await cyborg('demo', ...words)).toMatchObject({ code: 0 });
      kill(service);
      await start(service);
      await awaitInGuest(server, 1);
      await until({ what: 'the attachment is attached', seconds: guestSeconds }, async () =>
        (await attachmentsOf(server))[0]?.['state'] === 'attached' ? true : undefined,
      );
      const attachments = await attachmentsOf(server);
      expect(await cyborg('demo', 'detach-instance', server.id, '--no-wait')).toMatchObject({
        code: 0,
      });
      kill(service);
      await start(service);
      const ids = attachments.map((each) => asText(each['accelerator_id'], 'accelerator_id'));
      await awaitAvailable(ids, guestSeconds);
      expect(await pluggedInto(server.id)).toEqual([]);
      expect(await attachmentsOf(server)).toEqual([]);
      await awaitNothingAllocated(attachments);
    },
  );

  it('cyborg-server: a boot is ACTIVE or ERROR, and leaves nothing when it is deleted', async ({
    expect,
  }) => {
    await withCardFlavor();
    const server = await bootServer({ flavor: cardFlavor });
    await awaitBound(server);
    kill('cyborg-server');
    await start('cyborg-server');
    await endBoot(server);
    expect(await lookAtCard()).toEqual({ offered: 1, used: 0, holders: [] });
    const next = await bootActive({ flavor: cardFlavor });
    await endBoot(next);
  });

  it('nova-compute: the boot ends, what is attached to another server stays, and the next boot is ACTIVE', async ({
    expect,
  }) => {
    await withCardFlavor();
    const other = await guest();
    await attach('demo', other);
    await awaitInGuest(other, 1);
    const server = await bootServer({ flavor: cardFlavor });
    await awaitBound(server);
    kill('nova-compute');
    await start('nova-compute');
    await endBoot(server);
    await awaitInGuest(other, 1);
    expect(await attachmentsOf(other)).toMatchObject([{ state: 'attached' }]);
    const next = await bootActive({ flavor: cardFlavor });
    await endBoot(next);
  });
});

describe('away for a while', { timeout: testMs }, () => {
  it('Keystone: who was known is served, and what was asked meanwhile is carried out', async ({
    expect,
  }) => {
    const server = await guest();
    const accelerators = await attach('demo', server);
    await awaitInGuest(server, 1);
    const attachments = await attachmentsOf(server);
    using session = sessionOf('demo');
    const token = (await session.signIn()).id;
    const path = `/v3/instances/${server.id}/attachments`;
    expect(await ask('GET', path, token)).toBe(200);
    await without('keystone', async () => {
      expect(await ask('GET', path, token)).toBe(200);
      expect(await ask('DELETE', path, token)).toBe(202);
    });
    await awaitAvailable(accelerators, guestSeconds);
    await awaitInGuest(server, 0);
    await awaitNothingAllocated(attachments);
    await attach('demo', server);
    await awaitInGuest(server, 1);
  });

  it('Placement: detaching goes on without it, attaching waits for it, and it is told of everything afterwards', async ({
    expect,
  }) => {
    await offerCards(2);
    const server = await guest();
    const accelerators = await attach('demo', server);
    await awaitInGuest(server, 1);
    const attachments = await attachmentsOf(server);
    const offered = (await cardAccelerators()).filter(({ state }) => state === 'available');
    const [card] = offered;
    await without('placement', async () => {
      const withhold = ['accelerator-update', card?.id ?? '', '--state', 'withheld'];
      expect(await cyborg('admin', ...withhold)).toMatchObject({ code: 0 });
      const more = ['attach-instance', server.id, '--driver', 'generic', '--no-wait'];
      expect(await cyborg('demo', ...more)).toMatchObject({ code: 0 });
      const less = ['detach-instance', server.id, '--accelerator', accelerators[0] ?? ''];
      expect(await cyborg('demo', ...less)).toMatchObject({ code: 0 });
      await awaitInGuest(server, 0);
    });
    await awaitAvailable(accelerators, guestSeconds);
    await awaitNothingAllocated(attachments);
    await until({ what: 'Placement has it withheld', seconds: guestSeconds }, async () =>
      (await lookAtCard())?.offered === 1 ? true : undefined,
    );
    await awaitInGuest(server, 1);
    const [later] = await attachmentsOf(server);
    expect(later).toMatchObject({ state: 'attached' });
    const consumer = asText(later?.['id'], 'id');
    expect(Object.values(await allocationsOf(consumer))).toEqual([{ CUSTOM_CYBORG_ENTROPY: 1 }]);
  });
});

async function ask(method: 'GET' | 'DELETE', path: string, token: string): Promise<number> {
  const { origin } = new URL(labSettings().accelerator);
  const headers = { 'x-auth-token': token };
  const request = http.request(`${origin}${path}`, { method, headers, agent: false }).end();
  const [answer]: http.IncomingMessage[] = await once(request, 'response');
  answer?.resume();
  return answer?.statusCode ?? 0;
}
