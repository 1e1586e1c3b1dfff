import { describe, expect, it } from 'vitest';

import { serveCyborg } from '../test/served-command.ts';

const { cyborg } = serveCyborg();

describe('usage errors', () => {
  it.each([
    [[], 'No command is given'],
    [['driver-lst'], "There is no command 'driver-lst'. Nearest: driver-list"],
    [['attach-instance'], "missing required argument 'instance_id'"],
    [['attach-instance', 'x', '--count', '0'], 'It must be a whole number from 1 to 64'],
    [['host-list', '--bogus'], "unknown option '--bogus'"],
    [['host-list', '-f', 'xml'], "argument 'xml' is invalid"],
    [['host-update', 'h'], 'Nothing to change'],
    [['accelerator-update', 'x', '--same-as', 'y'], 'say with --reason how you know'],
    [['accelerator-update', 'x', '--same-as', 'y', '--name', 'n'], '--same-as goes alone'],
    [['accelerator-update', 'x', '--sha256', 'ab'], 'give --program'],
    [['install-driver', 'g', '--backend', 'b', '--config', 'novalue'], 'is not KEY=VALUE'],
  ])('%j ends 2 with one line', async (args, message) => {
    const { code, stdout, stderr } = await cyborg(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr.match(/\n/g)).toHaveLength(1);
  });
});
