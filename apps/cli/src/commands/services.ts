import { all } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import {
  actArgs,
  dryRunFlag,
  finishOperation,
  forceArgs,
  forceFlag,
  showChanged,
  waitFlag,
} from '../operations/act.ts';
import { limitFlag, requireStatus, statusFlags, take } from './arguments.ts';
import { countColumns, freeColumn, simulatedColumn } from './columns.ts';

const fleetFlags = {
  host: { type: 'string', placeholder: 'H', help: 'only on this host' },
  backend: { type: 'string', placeholder: 'NAME', help: 'only of this backend, or host@backend' },
} as const;

export const serviceList = defineCommand({
  args: {},
  flags: {
    ...fleetFlags,
    name: { type: 'string', placeholder: 'NAME', help: 'only this one, such as gpu.compute' },
    limit: limitFlag,
  },
  examples: [{ command: 'cyborg service-list --host node-1', help: 'what node-1 offers and runs' }],
  async run({ flags }, { api, out }) {
    const { host, backend, name, limit } = flags;
    await out.list(
      await take(all(api.listServices, { query: { host, backend, name } }), limit),
      [
        { key: 'id', hidden: true },
        'name',
        'kind',
        'host',
        'backend',
        'status',
        'state',
        freeColumn,
        ...countColumns,
        'updated_at',
        simulatedColumn,
      ],
      'No services.',
    );
  },
});

export const serviceUpdate = defineCommand({
  changes: true,
  args: { id: { help: 'id of a function or daemon (service-list -c id -c name)' } },
  flags: { ...statusFlags, force: forceFlag, dryRun: dryRunFlag },
  examples: [{ command: 'cyborg service-update ID --disable', help: 'offer it no longer' }],
  async run({ args, flags }, context) {
    const answer = await context.api.updateService({
      params: { id: args.id },
      body: { status: requireStatus(flags) },
      ...forceArgs(context, flags),
    });
    await showChanged(answer, context);
  },
});

export const discoverServices = defineCommand({
  changes: true,
  args: {},
  flags: { ...fleetFlags, dryRun: dryRunFlag, wait: waitFlag },
  examples: [
    { command: 'cyborg discover-services', help: 'every backend looks for its hardware, now' },
    { command: 'cyborg discover-services --host node-1', help: 'only those of node-1' },
  ],
  async run({ flags }, context) {
    const answer = await context.api.createDiscovery({
      body: { host: flags.host, backend: flags.backend },
      ...actArgs(context, flags.dryRun),
    });
    await finishOperation(answer, context, { wait: flags.wait });
  },
});
