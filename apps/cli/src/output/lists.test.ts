import { describe, expect, it } from 'vitest';

import { ok, page } from '../../test/api-server.ts';
import { serveCyborg } from '../../test/served-command.ts';
import { accelerator, id, instance } from '../../test/things.ts';

const { calls, cyborg, server } = serveCyborg();

describe('lists', () => {
  it('print one array of all pages as json', async () => {
    server.current.handlers = {
      listAccelerators: ({ query }) =>
        query['marker'] === undefined
          ? ok({ items: [accelerator], next: 'm' })
          : page({ ...accelerator, id: id(9) }),
    };
    const { code, stdout, stderr } = await cyborg(['accelerator-list', '-f', 'json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual([accelerator, { ...accelerator, id: id(9) }]);
  });

  it('are a table that labels what is simulated, with whole ids', async () => {
    server.current.handlers = { listAccelerators: () => page(accelerator) };
    const { stdout } = await cyborg(['accelerator-list', '--type', 'crypto']);
    expect(stdout).toMatch(/\| simulated \|\n/);
    expect(stdout).toMatch(/\| demo-1 \|.*\| true {6}\|\n/);
    expect(stdout).toContain(id(1));
    expect(calls('listAccelerators')[0]?.query).toMatchObject({ type: 'CRYPTO' });
  });

  it('give chosen columns in their order, also with options before the command', async () => {
    server.current.handlers = { listAccelerators: () => page(accelerator) };
    const args = ['-f', 'value', 'accelerator-list', '-c', 'state', '-c', 'reason', '-c', 'id'];
    expect((await cyborg(args)).stdout).toBe(`attached None ${id(1)}\n`);
    const wrong = await cyborg(['accelerator-list', '-c', 'stat']);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toMatch(
      /^cyborg: There is no column 'stat'\. Nearest: state\. All: id,.*\n$/,
    );
  });

  it('find an instance by its name', async () => {
    server.current.handlers = {
      showInstance: () => ok({ ...instance, name: 'vm-1' }),
      listAccelerators: () => page(),
    };
    expect((await cyborg(['accelerator-list', '--instance', 'vm-1'])).stderr).toBe(
      'No accelerators.\n',
    );
    expect(calls('listAccelerators')[0]?.query).toMatchObject({ instance_id: id(5) });
  });
});
