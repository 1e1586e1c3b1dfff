import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { page, problem } from '../../test/api-server.ts';
import { serveCyborg } from '../../test/served-command.ts';

const { calls, cyborg, server } = serveCyborg();

describe('the connection', () => {
  it('is found in the file that npm start writes, and credentials go nowhere else', async () => {
    server.current.handlers = { listHosts: () => page() };
    const file = join(server.home, 'client.yaml');
    await writeFile(file, `url: ${server.url}\nuser: ann\npassword: secret\n`, { mode: 0o600 });
    expect(await cyborg(['host-list'], { CYBORG_CONFIG: file })).toMatchObject({ code: 0 });
    await cyborg(['host-list', '--url', server.url.replace('127.0.0.1', 'localhost')], {
      CYBORG_CONFIG: file,
    });
    const sent = calls('listHosts').map(({ headers }) => headers.authorization);
    expect(sent).toEqual([`Basic ${Buffer.from('ann:secret').toString('base64')}`, undefined]);
  });

  it('that is refused is one line with the way out', async () => {
    server.current.stop();
    const { code, stderr } = await cyborg(['driver-list']);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^cyborg: No server answers at http:\S+ Is it running\? 'npm start'.*\n$/,
    );
  });

  it('without credentials tells how to give them', async () => {
    server.current.handlers = { listDrivers: () => problem(401, 'not-authenticated', 'Sign in.') };
    const { code, stderr } = await cyborg(['driver-list']);
    expect(code).toBe(1);
    expect(stderr).toContain('Give --user and --password');
  });
});
