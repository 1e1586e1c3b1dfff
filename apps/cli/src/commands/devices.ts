import { all } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import { limitFlag, take } from './arguments.ts';
import { countColumns, freeColumn, simulatedColumn } from './columns.ts';

export const deviceList = defineCommand({
  args: {},
  flags: {
    host: { type: 'string', placeholder: 'H', help: 'only on this host' },
    backend: { type: 'string', placeholder: 'NAME', help: 'only of this backend, or host@backend' },
    type: { type: 'string', placeholder: 'TYPE', help: 'GPU, FPGA, CRYPTO, …' },
    limit: limitFlag,
  },
  examples: [{ command: 'cyborg device-list --host node-1', help: 'the cards of node-1' }],
  async run({ flags }, { api, out }) {
    const query = { host: flags.host, backend: flags.backend, type: flags.type?.toUpperCase() };
    await out.list(
      await take(all(api.listDevices, { query }), flags.limit),
      [
        'id',
        'type',
        'vendor',
        'model',
        'address',
        'host',
        'backend',
        'presence',
        'health',
        freeColumn,
        ...countColumns,
        simulatedColumn,
      ],
      'No devices.',
    );
  },
});

export const deviceShow = defineCommand({
  args: { id: { help: 'id of the device' } },
  flags: {},
  examples: [{ command: 'cyborg device-show ID', help: 'all that its driver reports' }],
  async run({ args }, { api, out }) {
    await out.show(await api.showDevice({ params: { id: args.id } }));
  },
});
