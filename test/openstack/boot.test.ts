/** Servers that Nova boots with a device profile: what they hold is in our ledger and in Placement, and comes back. */
import { uuid3 } from '@cyborg/model/v2/provider';
import { asText, type JsonObject } from '@cyborg/openstack/reader';
import { afterAll, beforeAll, describe, inject, it } from 'vitest';

import {
  allocationsOf,
  awaitFree,
  cardFlavor,
  cardProfile,
  installDrivers,
  lookAtCard,
  makeCardFlavor,
  offerCards,
} from './card.ts';
import { acceleratorClient } from './commands.ts';
import { isFullRun, labSettings, needsLab } from './lab.ts';
import { awaitNovaTookEvent } from './nova-log.ts';
import { bootActive, bootServer, type Server } from './servers.ts';
import { until } from './until.ts';

needsLab();

/** Placement's word after a delete: the next boot may be sent. */
const freeAgainSeconds = 5;
const loops = isFullRun ? 20 : 3;
const loopMs = 60_000;
const noValidHost = 'No valid host was found. ';

let flavor: AsyncDisposable | undefined;
beforeAll(async () => {
  if (inject('openStackMissing') !== null) return;
  await installDrivers();
  await awaitFree();
  flavor = await makeCardFlavor();
});
afterAll(async () => flavor?.[Symbol.asyncDispose]());

const arqsOf = async (server: Server): Promise<JsonObject[]> =>
  (await acceleratorClient('admin').list('arq', 'list', '--long')).filter(
    ({ instance_uuid: instance }) => instance === server.id,
  );

const provider = (): string => uuid3(`${labSettings().host}_FakeDevice`);

async function awaitDeleted(server: Server): Promise<void> {
  await server.remove();
  await server.awaitGone();
}

/** Until the scheduler would give one to the next who asks. */
async function awaitOneToGive(seconds: number): Promise<void> {
  await until({ what: 'Placement shows one free', seconds }, async () => {
    const card = await lookAtCard();
    return card !== undefined && card.offered - card.used > 0 ? true : undefined;
  });
}

describe('a server with a device profile', () => {
  it('goes ACTIVE with its request Bound, Placement has the allocation, and its delete frees both', async ({
    expect,
  }) => {
    await offerCards(2);
    const server = await bootActive({ flavor: cardFlavor });
    const arqs = await arqsOf(server);
    expect(arqs).toMatchObject([
      {
        state: 'Bound',
        device_profile_name: cardProfile,
        hostname: labSettings().host,
        device_rp_uuid: provider(),
        attach_handle_type: 'TEST_PCI',
      },
    ]);
    expect(await allocationsOf(server.id)).toMatchObject({ [provider()]: { FPGA: 1 } });
    expect(await lookAtCard()).toEqual({ offered: 2, used: 1, holders: [server.id] });
    const [arq] = arqs;
    await awaitNovaTookEvent(asText(arq?.['uuid'], 'uuid'));

    await awaitDeleted(server);
    await awaitFree();
    expect(await arqsOf(server)).toEqual([]);
    expect(await allocationsOf(server.id)).toEqual({});
    expect(await lookAtCard()).toEqual({ offered: 2, used: 0, holders: [] });
  });
});

describe('with one to give', () => {
  it(
    `${loops} times: a boot sent when Placement shows it free after a delete goes ACTIVE`,
    { timeout: 120_000 + loops * loopMs },
    async ({ expect }) => {
      await offerCards(1);
      let server = await bootActive({ flavor: cardFlavor });
      for (let loop = 0; loop < loops; loop++) {
        await awaitDeleted(server);
        await awaitOneToGive(freeAgainSeconds);
        server = await bootServer({ flavor: cardFlavor });
        const { status, fault } = await server.settle();
        expect({ loop, status, fault }).toEqual({ loop, status: 'ACTIVE', fault: '' });
      }
      await awaitDeleted(server);
      await awaitFree();
    },
  );

  it('a boot that comes too early finds no valid host, and never fails in the bind', async ({
    expect,
  }) => {
    await offerCards(1);
    const first = await bootActive({ flavor: cardFlavor });
    const tooMany = await bootServer({ flavor: cardFlavor });
    expect(await tooMany.settle()).toMatchObject({ status: 'ERROR', fault: noValidHost });
    await first.remove();
    for (let again = 0; again < 3; again++) {
      const early = await bootServer({ flavor: cardFlavor });
      const { status, fault } = await early.settle();
      if (status === 'ERROR') expect(fault).toBe(noValidHost);
      await awaitDeleted(early);
    }
    await Promise.all([first.awaitGone(), awaitDeleted(tooMany)]);
    await awaitFree();
    expect(await lookAtCard()).toEqual({ offered: 1, used: 0, holders: [] });
  });

  it('two that race for it: one is ACTIVE, one is ERROR, and nothing leaks', async ({ expect }) => {
    await offerCards(1);
    const both = await Promise.all([
      bootServer({ flavor: cardFlavor }),
      bootServer({ flavor: cardFlavor }),
    ]);
    const ends = await Promise.all(both.map((server) => server.settle()));
    expect(ends.map(({ status }) => status).toSorted()).toEqual(['ACTIVE', 'ERROR']);
    const winner = both.find((_, at) => ends[at]?.status === 'ACTIVE');
    // Placement 8 itself may have let both in (it checks the capacity in an old snapshot): then our bind refused one.
    expect((await lookAtCard())?.holders).toContain(winner?.id);
    expect(await arqsOf(both[0])).toHaveLength(both[0] === winner ? 1 : 0);
    expect(await arqsOf(both[1])).toHaveLength(both[1] === winner ? 1 : 0);
    await Promise.all(both.map(awaitDeleted));
    await awaitFree();
    expect(await lookAtCard()).toEqual({ offered: 1, used: 0, holders: [] });
    expect(await acceleratorClient('admin').list('arq', 'list')).toEqual([]);
  });
});
