import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

import { defineLocalCommand } from '../command.ts';
import { CliError } from '../errors.ts';

/** What manifest.json takes for an id. */
const nameForm = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/u;

export const driverNew = defineLocalCommand({
  args: { name: { help: 'id of the driver: lower-case letters, digits and dashes, at most 63' } },
  flags: {
    runtime: {
      type: 'string',
      placeholder: 'RUNTIME',
      choices: ['node', 'python3'],
      help: 'what it is written for: JavaScript with the SDK, or Python with its standard library (node)',
    },
    dir: { type: 'string', placeholder: 'DIR', help: 'folder to make (NAME here)' },
  },
  examples: [
    {
      command: 'cyborg driver-new acme',
      help: 'a driver for PCI cards in ./acme; docs/how-to/write-a-driver.md goes on',
    },
    {
      command: 'cyborg driver-new acme --runtime python3',
      help: 'the same in Python',
    },
    {
      command: 'cyborg driver-new acme --dir drivers/acme-cards',
      help: 'in another folder',
    },
  ],
  async run({ args: { name }, flags }, { io, out }) {
    if (!nameForm.test(name)) {
      const form = 'lower-case letters, digits and dashes, 63 at most, no dash at an end';
      throw new CliError(`NAME ${JSON.stringify(name)} cannot be a driver's id: ${form}.`);
    }
    const folder = resolve(io.workingDirectory, flags.dir ?? name);
    if (existsSync(folder)) {
      throw new CliError(`${folder} is there already: name another with --dir, or remove it.`);
    }
    const { makeDriver } = await import('../driver-new.ts');
    const runtime = flags.runtime === 'python3' ? 'python3' : 'node';
    await makeDriver(name, { folder, runtime }).catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      throw new CliError(`${folder} cannot be made: ${why}`);
    });
    await out.show({ driver_id: name, folder, next: `cyborg driver-test ${flags.dir ?? name}` });
  },
});
