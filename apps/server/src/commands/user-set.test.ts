import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { makeTempFolder } from '@cyborg/testing/embedded';
import { cleanEnvironment, programs } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';
import { parse } from 'yaml';

function userSet(args: readonly string[], env: NodeJS.ProcessEnv): { status: number | null } {
  return spawnSync(
    process.execPath,
    [programs.server, 'user-set', 'ada', ...args, '--password-stdin'],
    { env: { ...cleanEnvironment(), ...env }, input: 'a-password-of-a-test\n', encoding: 'utf8' },
  );
}

describe('cyborg-server user-set', () => {
  it("writes where the server's environment says, whatever role the server has there", ({
    expect,
  }) => {
    using folder = makeTempFolder();
    const env = { CYBORG_SERVER_STATE_DIR: folder.path, CYBORG_SERVER_ROLE: 'api' };
    expect(userSet(['--project', 'p', '--role', 'member'], env)).toMatchObject({ status: 0 });
    const { users } = parse(readFileSync(join(folder.path, 'users.yaml'), 'utf8'));
    expect(users).toMatchObject([{ name: 'ada', roles: ['member'], project_id: 'p' }]);
  });

  it('names its own variables when something is missing', ({ expect }) => {
    expect(userSet([], {})).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('CYBORG_USER_SET_PROJECT'),
    });
  });
});
