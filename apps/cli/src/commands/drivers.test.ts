import { describe, expect, it } from 'vitest';

import { ok, problem } from '../../test/api-server.ts';
import { serveCyborg } from '../../test/served-command.ts';
import { succeeded, type Operation } from '../../test/things.ts';

const { calls, cyborg, server } = serveCyborg();

describe('drivers', () => {
  const installed: Operation = {
    ...succeeded,
    kind: 'install-driver',
    subject: { driver_id: 'generic' },
  };

  it('are installed bare, and with one backend and its settings', async () => {
    server.current.handlers = { installDriver: () => ok(installed, 202) };
    const { code, stdout } = await cyborg(['install-driver', 'generic', '-f', 'json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(installed);
    await cyborg(
      'install-driver generic --version 1.2.0 --backend soft --kind virtual --config crypto=8 --config x=a=b --config on=true --host h1 --host h2'.split(
        ' ',
      ),
    );
    expect(calls('installDriver').map(({ body }) => body)).toEqual([
      {},
      {
        version: '1.2.0',
        backends: [
          {
            name: 'soft',
            kind: 'virtual',
            hosts: ['h1', 'h2'],
            config: { crypto: 8, x: 'a=b', on: true },
          },
        ],
      },
    ]);
  });

  it('are updated with settings of one backend', async () => {
    server.current.handlers = {
      updateDriver: () => ok({ ...installed, kind: 'update-driver' }, 202),
    };
    await cyborg('update-driver generic --backend soft --config crypto=null --batch 2'.split(' '));
    expect(calls('updateDriver')[0]?.body).toEqual({
      rollout: { batch: 2 },
      backends: [{ name: 'soft', config: { crypto: null } }],
    });
    const orphan = await cyborg('update-driver generic --config crypto=1'.split(' '));
    expect(orphan).toMatchObject({ code: 2, stderr: 'cyborg: --config needs --backend NAME.\n' });
  });

  it('are not uninstalled while in use: the users are named', async () => {
    const users = [{ instance: 'vm-1', accelerator: 'virtual-crypto-0' }];
    server.current.handlers = {
      uninstallDriver: () => problem(409, 'in-use', "Driver 'generic' is in use.", { users }),
    };
    const { code, stderr } = await cyborg(['uninstall-driver', 'generic']);
    expect(code).toBe(1);
    expect(stderr).toBe(
      "cyborg: Driver 'generic' is in use. In use by: instance vm-1, accelerator virtual-crypto-0.\n",
    );
  });
});
