/** Cards that are pulled out of their port while a guest holds them, and come back: there, elsewhere, or not for sure. */
import { eventually } from '@cyborg/testing/processes';
import { afterAll, afterEach, beforeAll, describe, inject, it } from 'vitest';

import { attach, cards, detach } from './attach.ts';
import { LabGuest } from './guests.ts';
import { openSite, seenBy, untilHolds } from './holding.ts';
import { Lab, needsLab, patientMs } from './lab.ts';
import type { Accelerator, Site } from './site.ts';

needsLab();

const ports = { hp0: '0000:23:00.0', hp1: '0000:46:00.0' } as const;

describe('a card that a guest holds', () => {
  let lab: Lab;
  let site: Site;
  let guest: LabGuest;

  beforeAll(async () => {
    if (inject('labMissing') !== null) return;
    lab = Lab.current();
    site = await openSite(lab);
    guest = await LabGuest.qemu(lab, 'holder');
    await site.untilInstance(guest.uuid);
  });
  afterEach(async () => {
    for (const id of ['card', 'hp0-card', 'hp1-card']) {
      await lab?.try('unplug', [id, '--timeout', String(patientMs / 1000)], {
        timeoutMs: 2 * patientMs,
      });
    }
  });
  afterAll(async () => {
    await guest?.stop();
    await site?.[Symbol.asyncDispose]();
    await lab?.tryRun(`echo 0 > /sys/bus/pci/devices/${cards.nvmePf}/sriov_numvfs`);
  });

  async function until(
    what: string,
    is: (all: readonly Accelerator[]) => Accelerator | undefined,
  ): Promise<Accelerator> {
    let seen: readonly Accelerator[] = [];
    return await eventually(
      async () => {
        seen = await site.accelerators();
        return is(seen);
      },
      {
        timeoutMs: patientMs,
        pauseMs: 200,
        what,
        context: () => {
          const list = seen.map(({ name, state, presence, reason }) =>
            [name, state, presence, reason].join(' '),
          );
          return `${list.join('\n')}\n${site.logs()}`;
        },
      },
    );
  }

  const isIn = ({ presence, attach_info: info }: Accelerator, address: string): boolean =>
    presence === 'present' && info?.['bus'] === address.slice('0000:'.length, -':00.0'.length);

  /** Available there, and not known before: it keeps the name that says where it was first. */
  const comes = async (address: string): Promise<Accelerator> =>
    await until(`a card at ${address} is available`, (all) =>
      all.find(
        (one) => one.name.endsWith(address) && one.state === 'available' && isIn(one, address),
      ),
    );

  const goes = async ({ id }: Accelerator): Promise<Accelerator> =>
    await until('it is absent', (all) =>
      all.find((one) => one.id === id && one.presence === 'absent'),
    );

  const untilThere = async (card: Accelerator): Promise<Accelerator> =>
    await until('it is in hp1', (all) =>
      all.find((one) => one.id === card.id && isIn(one, ports.hp1)),
    );

  async function untilGuestSees(ids: readonly string[]): Promise<void> {
    await eventually(() => seenBy(guest).join() === ids.toSorted().join(), {
      timeoutMs: patientMs,
      pauseMs: 200,
      what: `the guest sees ${ids.join() || 'nothing'}`,
      context: () => `${guest.lines.slice(-20).join('\n')}\n${site.logs()}`,
    });
  }

  it('is taken out of it with the card, and given again where it comes back', async ({
    expect,
  }) => {
    await lab.plug('nvme', 'hp0', { id: 'card', serial: 'SAME1' });
    const card = await comes(ports.hp0);
    await attach(site, guest, { ids: ['1b36:0010'], names: [card.id] });
    const [holding] = await untilHolds(site, guest, [ports.hp0]);
    await lab.unplug('card');
    const gone = await goes(card);
    expect(gone).toMatchObject({ state: 'attached', instance_id: guest.uuid });
    await untilGuestSees([]);
    await lab.plug('nvme', 'hp0', { id: 'card', serial: 'SAME1' });
    const [again] = await untilHolds(site, guest, [ports.hp0]);
    expect(again).toEqual(holding);
    await untilGuestSees(['1b36:0010']);
    await detach(site, guest);
    expect(await comes(ports.hp0)).toMatchObject({ id: card.id });
  });

  it('is followed to another port by its serial number', async ({ expect }) => {
    await lab.plug('nvme', 'hp0', { id: 'card', serial: 'SAME2' });
    const card = await comes(ports.hp0);
    await attach(site, guest, { ids: ['1b36:0010'], names: [card.id] });
    const [holding] = await untilHolds(site, guest, [ports.hp0]);
    await lab.unplug('card');
    await goes(card);
    await lab.plug('nvme', 'hp1', { id: 'card', serial: 'SAME2' });
    await untilThere(card);
    await untilGuestSees(['1b36:0010']);
    const { items } = await site.v3.listAttachments({ params: { instance_id: guest.uuid } });
    expect(items).toMatchObject([{ id: holding?.id, state: 'attached' }]);
    await detach(site, guest);
  });

  it('is known in another port by a number that the kernel shows to root alone', async ({
    expect,
  }) => {
    const card = { driver: 'e1000e', id: 'card', mac: '52:54:00:ab:cd:ef' };
    await lab.qmp('device_add', { ...card, bus: 'hp0' });
    const first = await comes(ports.hp0);
    await lab.unplug('card');
    await goes(first);
    await lab.qmp('device_add', { ...card, bus: 'hp1' });
    await untilThere(first);
    const { items } = await site.v3.listDevices({ query: {} });
    const found = items.flatMap(({ address, serial }) => (address === ports.hp1 ? serial : []));
    // (What was there before is listed, too.)
    expect(found).toContain('52-54-00-ff-ff-ab-cd-ef');
  });

  it('is not taken for one without a serial number in another port: a person is asked', async ({
    expect,
  }) => {
    await lab.plug('edu', 'hp0', { id: 'card' });
    const card = await comes(ports.hp0);
    await attach(site, guest, { ids: ['1234:11e8'], names: [card.id] });
    await lab.unplug('card');
    await goes(card);
    await untilGuestSees([]);
    await lab.plug('edu', 'hp1', { id: 'card' });
    const doubted = await until('the other is listed', (all) =>
      all.find(({ name, presence }) => name.endsWith(ports.hp1) && presence === 'present'),
    );
    expect(doubted).toMatchObject({
      state: 'withheld',
      reason: expect.stringContaining('not sure which card it is'),
    });
    expect(seenBy(guest)).toEqual([]);
    const refused = await site.cyborg('attach-instance', guest.uuid, '--accelerator', doubted.id);
    expect(refused.status).toBe(1);
    const reason = ['--reason', 'it is another card'];
    await site.succeeds('accelerator-update', doubted.id, '--state', 'available', ...reason);
    await site.succeeds('detach-instance', guest.uuid);
    expect(seenBy(guest)).toEqual([]);
  });
});
