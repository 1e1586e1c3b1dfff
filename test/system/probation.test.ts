/** A version that passes its trial and then keeps dying goes back by itself, and no other host gets it. */
import { join } from 'node:path';

import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { makePublisher, publishAcme } from './acme.ts';
import { Fleet } from './fleet.ts';

const longMs = 120_000;
const params = { driver_id: 'acme' };

/** The first look is the trial's; a file in the driver's own folder tells the next ones that it is over. */
const diesAfterTheTrial = (program: string): string =>
  program
    .replace(
      'self.host = params["host"]["name"]',
      'self.host = params["host"]["name"]\n        self.folder = params["state_dir"]',
    )
    .replace(
      'def discover(self, params):',
      `def discover(self, params):
        import os
        mark = os.path.join(self.folder, "was-tried")
        if os.path.exists(mark):
            os._exit(3)
        open(mark, "w").close()`,
    );

describe('a roll-out of a version that keeps dying once it runs', { timeout: 600_000 }, () => {
  it('goes back on the canary with nothing detached, stops, and leaves the other hosts alone', async ({
    expect,
  }) => {
    await using fleet = await Fleet.open();
    const publisher = makePublisher(join(fleet.folder, 'keys'));
    const args = ['--driver-key', publisher.publicFile];
    await fleet.startServer({ args });
    const [first] = await fleet.addHosts(['host-1', 'host-2'], { args });
    await publishAcme(fleet, publisher, { version: '1.0.0' });
    await fleet.done(fleet.v3.installDriver({ params, body: {} }), longMs);
    await fleet.untilAttachable(longMs);
    await fleet.attach(await fleet.instance('host-1'), { driver: 'acme', count: 1 });
    const devices = first?.devices();

    await publishAcme(fleet, publisher, { version: '2.0.0', edit: diesAfterTheTrial });
    const rollout = { canary: 1, pause_seconds: 3600 };
    const update = await fleet.v3.updateDriver({ params, body: { version: '2.0.0', rollout } });
    await eventually(async () => (await fleet.events('installation.rolled-back')).length > 0, {
      timeoutMs: longMs,
      what: 'the canary went back',
      context: () => fleet.logs(),
    });
    await eventually(
      async () =>
        (await fleet.v3.showDeployment({ params })).installations.every(
          ({ state, running_version: version }) => state === 'ready' && version === '1.0.0',
        ),
      { timeoutMs: longMs, what: 'all hosts run 1.0.0', context: () => fleet.logs() },
    );
    const { rollout_state: state, installations } = await fleet.v3.showDeployment({ params });
    expect(state).toBe('stopped');
    expect(installations).toMatchObject([
      {
        host: 'host-1',
        failed_version: '2.0.0',
        failed_reason: expect.stringMatching(/kept dying after the update: quarantined/),
      },
      { host: 'host-2', failed_version: null },
    ]);
    expect(await fleet.ended(update, longMs)).toMatchObject({ state: 'failed' });
    expect(first?.devices()).toEqual(devices);
    expect(await fleet.accelerators({ state: 'attached' })).toHaveLength(1);
    await fleet.detach(await fleet.instance('host-1'));
    expect(first?.devices()).toEqual([]);
  });
});
