/** What could not be cleaned, after somebody has mended the cause. */
import { join } from 'node:path';

import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { makePublisher, publishAcme } from './acme.ts';
import { Fleet, type Accelerator } from './fleet.ts';

const longMs = 60_000;

/** A driver that cannot clean by the first order that it gets, however often that is tried. */
function failFirst(program: string): string {
  const asItWas = '    def clean(self, params):\n';
  if (!program.includes(asItWas)) throw new Error('the sample driver cleans otherwise by now');
  const check = [
    'first = self.__dict__.setdefault("first_epoch", params["epoch"])',
    'if params["epoch"] == first:',
    '    raise Refusal(UNSUPPORTED, "the card does not answer to its reset")',
  ];
  return program.replace(asItWas, `${asItWas}${check.map((line) => `        ${line}\n`).join('')}`);
}

describe('an accelerator that could not be cleaned', () => {
  it('stays out until its cause is mended and somebody has it cleaned again', async ({
    expect,
  }) => {
    const fleet = await Fleet.open();
    await using _fleet = fleet;
    const publisher = makePublisher(join(fleet.folder, 'keys'));
    const args = ['--driver-key', publisher.publicFile];
    await fleet.startServer({ args });
    await fleet.addHosts(['host-1'], { args });
    await publishAcme(fleet, publisher, { version: '1.0.0', edit: failFirst });
    const params = { driver_id: 'acme' };
    await fleet.done(fleet.v3.installDriver({ params, body: {} }), longMs);
    const ofAcme = (): Promise<Accelerator[]> => fleet.accelerators({ driver_id: 'acme' });
    await eventually(async () => (await ofAcme()).length > 0, {
      timeoutMs: longMs,
      what: 'its accelerators are in the ledger',
      context: () => fleet.logs(),
    });
    await fleet.untilAttachable(longMs);

    const vm = await fleet.instance('host-1');
    await fleet.attach(vm, { driver: 'acme' });
    const held = (await ofAcme()).find(({ state }) => state === 'attached');
    const id = held?.id ?? '';
    await fleet.detach(vm);
    const stateNow = async (): Promise<Accelerator> => fleet.v3.showAccelerator({ params: { id } });
    expect(await stateNow()).toMatchObject({
      state: 'cleaning_failed',
      reason: expect.stringContaining('the card does not answer to its reset'),
    });

    const again = [
      'accelerator-update',
      id,
      '--state',
      'cleaning',
      '--reason',
      'card was reseated',
    ];
    expect(await fleet.cliJson(...again)).toMatchObject({ id, state: 'cleaning', reason: null });
    await eventually(async () => (await stateNow()).state === 'available', {
      timeoutMs: longMs,
      what: 'it is clean',
      context: () => fleet.logs(),
    });
    const refused = await fleet.cli(...again);
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain('only what is cleaning_failed can be cleaned again');
    const events = (await fleet.events()).filter(({ subject_id: subject }) => subject === id);
    expect(events.map(({ kind }) => kind).slice(-4)).toEqual([
      'accelerator.cleaning_failed',
      'accelerator.cleaning',
      'accelerator.cleaned',
      'accelerator.available',
    ]);
    await fleet.attach(vm, { accelerator: id });
  });
});
