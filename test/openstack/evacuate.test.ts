/** A compute host that dies, and what its servers held: Nova rebuilds them elsewhere, with accelerators of that host. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { asList, asObject, asText, type JsonObject } from '@cyborg/openstack/reader';
import { afterAll, beforeAll, describe, inject, it } from 'vitest';

import {
  cardAccelerators,
  cardFlavor,
  installDrivers,
  makeCardFlavor,
  offerCards,
} from './card.ts';
import { acceleratorClient } from './commands.ts';
import { labSettings, needsLab, sessionOf } from './lab.ts';
import { bootActive, type Server } from './servers.ts';
import { until } from './until.ts';

needsLab();

const script = join(import.meta.dirname, '../../labs/openstack/second-compute');
const second = 'second';
const testMs = 900_000;
const settleSeconds = 240;

const run = promisify(execFile);
const secondCompute = (...words: string[]): Promise<unknown> =>
  run(script, words, { timeout: 300_000 });

const arqsOf = async (server: Server): Promise<JsonObject[]> =>
  (await acceleratorClient('admin').list('arq', 'list', '--long')).filter(
    ({ instance_uuid: instance }) => instance === server.id,
  );

/** Until all cards of the second host are as said. */
const awaitCards = (what: string, are: (states: readonly string[]) => boolean): Promise<true> =>
  until({ what: `the cards of ${second}: ${what}`, seconds: settleSeconds }, async () => {
    const states = (await cardAccelerators(second)).map(({ state }) => state);
    return states.length > 0 && are(states) ? true : undefined;
  });

/** Nova waits minutes before it believes it by itself. */
async function forceDown(isDown: boolean): Promise<void> {
  using session = sessionOf('admin');
  const headers = { 'openstack-api-version': 'compute 2.79' };
  const nova = { type: 'compute', service: 'Nova', headers } as const;
  const query = { host: second, binary: 'nova-compute' };
  const found = await session.request({ ...nova, method: 'GET', path: '/os-services', query });
  const [service] = asList(asObject(found.body, 'the answer')['services'], 'services');
  const path = `/os-services/${asText(asObject(service, 'the service')['id'], 'id')}`;
  await session.request({ ...nova, method: 'PUT', path, body: { forced_down: isDown } });
}

describe('evacuating a server', () => {
  beforeAll(async () => {
    if (inject('openStackMissing') !== null) return;
    await secondCompute();
    await installDrivers();
    await awaitCards('there', () => true);
  }, testMs);
  afterAll(async () => {
    if (inject('openStackMissing') === null) await secondCompute('--remove');
  }, testMs);

  it(
    'gives it an accelerator of its new host; the dead one’s is clean again when that is back',
    { timeout: testMs },
    async ({ expect, onTestFinished }) => {
      await offerCards(1);
      const flavor = await makeCardFlavor();
      onTestFinished(() => flavor[Symbol.asyncDispose]());
      const server = await bootActive({ flavor: cardFlavor, user: 'admin', host: second });
      const before = await arqsOf(server);
      expect(before).toMatchObject([{ state: 'Bound', hostname: second }]);

      await secondCompute('--stop');
      await forceDown(true);
      await server.act({ evacuate: {} });
      const after = await until(
        { what: 'it is bound to its new host', seconds: settleSeconds },
        async () => {
          const arqs = await arqsOf(server);
          const isMoved = arqs.length === 1 && arqs[0]?.['hostname'] === labSettings().host;
          return isMoved && arqs[0]?.['state'] === 'Bound' ? arqs : undefined;
        },
      );
      expect(after[0]?.['uuid']).not.toBe(before[0]?.['uuid']);
      await until({ what: 'it runs on its new host', seconds: settleSeconds }, async () => {
        const view = await server.look();
        return view?.host === labSettings().host && view.task === null ? true : undefined;
      });
      expect(await server.look()).toMatchObject({ status: 'ACTIVE' });
      // Nobody can say that the dead host lets go of it.
      expect((await cardAccelerators(second)).map(({ state }) => state)).toContain('cleaning');

      await secondCompute();
      await until({ what: 'Nova lets the host be up again', seconds: settleSeconds }, async () => {
        await forceDown(false);
        return true;
      });
      await awaitCards('all free', (states) => states.every((state) => state === 'available'));
      expect(await arqsOf(server)).toEqual(after);
      await server.remove();
      await server.awaitGone();
    },
  );
});
