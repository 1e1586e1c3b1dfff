import { describe, it } from 'vitest';

import { card, observeMissing, openCards, openHeld } from '../../test/cards.ts';
import type { Outcome } from '../orders/outcomes.ts';
import { obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { brokenInvariants } from '../test-audit.ts';

describe('a card that is known by its serial number', () => {
  it('keeps its attachment while it is away, and is attached where it comes back', async ({
    expect,
  }) => {
    const bench = await openHeld(card('41', { serial: 'a' }));
    await using _ = bench.database;
    const before = await bench.attachment();
    await bench.put();
    expect(await bench.states()).toEqual(['serial-a attached absent']);
    expect(await bench.attachment()).toEqual(before);
    await bench.put(card('42', { serial: 'a' }));
    const [order, ...others] = await ordersOf(bench.deps, bench.host);
    expect(others).toEqual([]);
    expect(order).toMatchObject({ kind: 'attach', attachment_id: before.id });
    // Another device name: what the instance may still have of before is not taken for it.
    expect(order!.device_epoch).toBeGreaterThan(before.device_epoch);
    await obey(bench.deps, bench.host);
    expect(await bench.rows()).toMatchObject([
      { state: 'attached', attach_info: { bus: '42' }, instance_id: bench.guest.id },
    ]);
  });

  it.for([
    ['where it was', '41'],
    ['at another address', '42'],
  ] as const)(
    'is given again %s to an instance that lost it meanwhile',
    async ([, bus], { expect }) => {
      const bench = await openHeld(card('41', { serial: 'a' }));
      await using _ = bench.database;
      const before = await bench.attachment();
      await bench.put();
      await observeMissing(bench, before);
      const [lost] = await ordersOf(bench.deps, bench.host);
      await report(bench.deps, bench.host, [
        outcomeOf(lost!, { outcome: 'failed', message: 'it is gone' }),
      ]);
      expect(await bench.attachment()).toMatchObject({ state: 'failed', reason: 'it is gone' });
      await bench.put();
      expect(await ordersOf(bench.deps, bench.host)).toEqual([]);
      await bench.put(card(bus, { serial: 'a' }));
      expect(await bench.attachment()).toMatchObject({ state: 'attaching', reason: null });
      await obey(bench.deps, bench.host);
      expect(await bench.attachment()).toMatchObject({ id: before.id, state: 'attached' });
    },
  );

  it('waits for a person when the instance still has what was there before', async ({ expect }) => {
    const bench = await openHeld(card('41', { serial: 'a' }));
    await using _ = bench.database;
    await bench.put(card('41', { serial: 'b' }), card('42', { serial: 'a' }));
    const [order] = await ordersOf(bench.deps, bench.host);
    const message = 'Instance vm-1 still has ua-cyborg-1: detach it first.';
    await report(bench.deps, bench.host, [outcomeOf(order!, { outcome: 'failed', message })]);
    expect(await bench.attachment()).toMatchObject({ state: 'failed', reason: message });
    // The instance still names what is at 41 as its own, so nobody is given that (it used to be on offer).
    expect(await bench.states()).toEqual([
      'serial-a attached present',
      'serial-b withheld present',
    ]);
  });

  it('is cleaned anew when it comes back, whatever is still said of the first try', async ({
    expect,
  }) => {
    const bench = await openHeld(card('41', { serial: 'a' }));
    await using _ = bench.database;
    await bench.detach();
    await bench.put();
    let said: Outcome[] = [];
    await obey(bench.deps, bench.host, (order) => {
      if (order.kind !== 'clean') return outcomeOf(order);
      said = [outcomeOf(order, { outcome: 'clean_failed', message: 'it is gone' })];
      return said[0]!;
    });
    expect(await bench.states()).toEqual(['serial-a cleaning_failed absent']);
    await bench.put(card('41', { serial: 'a' }));
    // An agent that got no answer says it once more.
    await report(bench.deps, bench.host, said);
    expect(await bench.states()).toEqual(['serial-a cleaning present']);
    await obey(bench.deps, bench.host);
    expect(await bench.states()).toEqual(['serial-a available present']);
  });

  it('comes back where it was without anything being done', async ({ expect }) => {
    const bench = await openHeld(card('41', { serial: 'a' }));
    await using _ = bench.database;
    const before = await bench.attachment();
    await bench.put();
    await bench.put(card('41', { serial: 'a' }));
    expect(await bench.states()).toEqual(['serial-a attached present']);
    expect(await bench.attachment()).toEqual(before);
    expect(await ordersOf(bench.deps, bench.host)).toEqual([]);
  });
});

describe('a card without a serial number in another slot', () => {
  it('is nobody’s until a person says which it is, when one like it is held and gone', async ({
    expect,
  }) => {
    const bench = await openHeld(card('41'));
    await using _ = bench.database;
    await bench.put(card('42'), card('43', { device: '0x0099' }), card('44', { serial: 'x' }));
    expect(await bench.states()).toEqual([
      'serial-x available present',
      'slot-41 attached absent',
      'slot-42 withheld present',
      'slot-43 available present',
    ]);
    const [, , doubted] = await bench.rows();
    expect(doubted!.reason).toMatch(
      /^not sure which card it is: it may be nvme-0000:41:00.0, which is attached and gone from 0000:41:00.0/,
    );
    await expect(bench.attach({ accelerator: doubted!.id })).rejects.toMatchObject({
      code: 'no-accelerator-left',
    });
    await expect(bench.update('slot-42', { state: 'available' })).rejects.toMatchObject({
      code: 'invalid-input',
    });
    // It stays so, whatever is reported, until somebody decides.
    await bench.put(card('42'));
    expect(await bench.states()).toContain('slot-42 withheld present');
    await bench.update('slot-42', { state: 'available', reason: 'bought today' });
    await bench.put(card('42'), card('43', { device: '0x0099' }));
    expect(await bench.states()).toContain('slot-42 available present');
    expect(await bench.states()).toContain('slot-41 attached absent');
  });

  it('is the one that is gone when a person says so: what is attached follows', async ({
    expect,
  }) => {
    const bench = await openHeld(card('41'));
    await using _ = bench.database;
    const before = await bench.attachment();
    const [old] = await bench.rows();
    await bench.put(card('42'));
    const answer = await bench.identify('slot-42', 'slot-41');
    expect(answer).toMatchObject({ id: old!.id, state: 'attached' });
    expect(await bench.states()).toEqual(['slot-42 attached absent']);
    await bench.put(card('42'));
    expect(await bench.rows()).toMatchObject([
      { id: old!.id, state: 'attached', presence: 'present', attach_info: { bus: '42' } },
    ]);
    const [order, ...others] = await ordersOf(bench.deps, bench.host);
    expect(others).toEqual([]);
    expect(order).toMatchObject({ kind: 'attach', attachment_id: before.id });
    await obey(bench.deps, bench.host);
    expect(await bench.attachment()).toMatchObject({ id: before.id, state: 'attached' });
    expect(await brokenInvariants(bench.database.db)).toEqual([]);
  });

  it('is cleaned where it is now, when it was not clean where it was', async ({ expect }) => {
    const bench = await openHeld(card('41'));
    await using _ = bench.database;
    await bench.put(card('42'));
    await bench.detach();
    expect(await bench.states()).toContain('slot-42 withheld present');
    await bench.identify('slot-42', 'slot-41');
    await bench.put(card('42'));
    await obey(bench.deps, bench.host);
    expect(await bench.states()).toEqual(['slot-42 available present']);
    expect(await brokenInvariants(bench.database.db)).toEqual([]);
  });

  it('is not the one that is gone when it cannot be', async ({ expect }) => {
    const bench = await openHeld(card('41'));
    await using _ = bench.database;
    await bench.put(card('42'), card('43', { device: '0x0099' }), card('44', { serial: 'x' }));
    const refusals = [
      ['slot-43', 'slot-41', 'wrong-state', /no doubt which card/],
      ['slot-42', 'slot-43', 'wrong-state', /is where it was, at 0000:43:00.0/],
      ['slot-41', 'slot-41', 'wrong-state', /no doubt which card/],
    ] as const;
    const all = await bench.states();
    for (const [appeared, gone, code, message] of refusals) {
      await expect(bench.identify(appeared, gone)).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
    }
    await bench.put(card('42'));
    await expect(bench.identify('slot-42', 'slot-43')).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringMatching(/0x0099 without a serial number, .* cannot be the same card/),
    });
    expect(await bench.states()).toHaveLength(all.length);
  });

  it('is itself when the one that is held comes back', async ({ expect }) => {
    const bench = await openHeld(card('41'));
    await using _ = bench.database;
    await bench.put(card('42'));
    expect(await bench.states()).toContain('slot-42 withheld present');
    await bench.put(card('42'), card('41'));
    expect(await bench.states()).toEqual(['slot-41 attached present', 'slot-42 available present']);
  });

  it('is doubted in a slot that is known, too, when it was empty', async ({ expect }) => {
    const bench = await openCards();
    await using _ = bench.database;
    await bench.put(card('41'), card('42'));
    const [first] = await bench.rows();
    await bench.attach({ accelerator: first!.id });
    await obey(bench.deps, bench.host);
    await bench.put(card('42'));
    expect(await bench.states()).toEqual(['slot-41 attached absent', 'slot-42 available present']);
    await bench.put();
    await bench.put(card('42'));
    expect(await bench.states()).toEqual(['slot-41 attached absent', 'slot-42 withheld present']);
  });
});

describe('another card in the slot of one that is held', () => {
  it('is nobody’s while an instance may name its address as its own', async ({ expect }) => {
    const bench = await openHeld(card('41', { serial: 'a' }));
    await using _ = bench.database;
    await bench.put(card('41', { serial: 'b', device: '0x0099' }));
    expect(await bench.states()).toEqual(['serial-a attached absent', 'serial-b withheld present']);
    const [, other] = await bench.rows();
    expect(other!.reason).toContain('it is at 0000:41:00.0, where nvme-0000:41:00.0 was');
    const both = [card('42', { serial: 'a' }), card('41', { serial: 'b', device: '0x0099' })];
    await bench.put(...both);
    // Its own instance may still name the address, until it has the card where that is now.
    expect(await bench.states()).toEqual([
      'serial-a attached present',
      'serial-b withheld present',
    ]);
    await obey(bench.deps, bench.host);
    await bench.put(...both);
    expect(await bench.states()).toEqual([
      'serial-a attached present',
      'serial-b available present',
    ]);
  });

  it('is told of anew when that attachment has ended and nobody can clean its card', async ({
    expect,
  }) => {
    const bench = await openHeld(card('41', { serial: 'a' }));
    await using _ = bench.database;
    await bench.put(card('41', { serial: 'b' }));
    await bench.detach();
    const gone = { outcome: 'clean_failed', message: 'it is gone' } as const;
    await obey(bench.deps, bench.host, (one) => outcomeOf(one, one.kind === 'clean' ? gone : {}));
    const look = bench.db.selectFrom('backend').select('inventory_hash');
    expect(await look.executeTakeFirst()).toEqual({ inventory_hash: null });
  });

  it('is nobody’s when both changed places in one look, until the instance has its own again', async ({
    expect,
  }) => {
    const bench = await openCards();
    await using _ = bench.database;
    await bench.put(card('41', { serial: 'a' }), card('42', { serial: 'b' }));
    const [first] = await bench.rows();
    await bench.attach({ accelerator: first!.id });
    await obey(bench.deps, bench.host);
    const swapped = [card('42', { serial: 'a' }), card('41', { serial: 'b' })];
    await bench.put(...swapped);
    await bench.put(...swapped);
    expect(await bench.states()).toEqual([
      'serial-a attached present',
      'serial-b withheld present',
    ]);
    const [, other] = await bench.rows();
    expect(other!.reason).toContain(
      'it is at 0000:41:00.0, where nvme-0000:41:00.0 was, which is attached and has moved',
    );
    await expect(bench.attach({ accelerator: other!.id })).rejects.toMatchObject({
      code: 'no-accelerator-left',
    });
    expect(await bench.attachment()).toMatchObject({ left_addresses: ['0000:41:00.0'] });
    await obey(bench.deps, bench.host);
    expect(await bench.attachment()).toMatchObject({ state: 'attached', left_addresses: [] });
    // Its host is asked to report anew, as nothing about the cards has changed.
    const backends = bench.db.selectFrom('backend').select('inventory_hash');
    expect(await backends.executeTakeFirst()).toEqual({ inventory_hash: null });
    await bench.put(...swapped);
    expect(await bench.states()).toEqual([
      'serial-a attached present',
      'serial-b available present',
    ]);
    expect(await brokenInvariants(bench.db)).toEqual([]);
  });

  it.for(['that attachment has ended', 'a person says that it is another one'] as const)(
    'is on offer again when both changed places and %s',
    async (how, { expect }) => {
      const bench = await openCards();
      await using _ = bench.database;
      await bench.put(card('41', { serial: 'a' }), card('42', { serial: 'b' }));
      const [first] = await bench.rows();
      await bench.attach({ accelerator: first!.id });
      await obey(bench.deps, bench.host);
      const swapped = [card('42', { serial: 'a' }), card('41', { serial: 'b' })];
      await bench.put(...swapped);
      if (how === 'that attachment has ended') {
        await bench.detach();
        await bench.put(...swapped);
        expect(await bench.states()).toContain('serial-b withheld present');
        await obey(bench.deps, bench.host);
      } else await bench.update('serial-b', { state: 'available', reason: 'looked at it' });
      await bench.put(...swapped);
      expect(await bench.states()).toContain('serial-b available present');
    },
  );
});
