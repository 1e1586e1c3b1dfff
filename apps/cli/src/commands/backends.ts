import { all, type V3Result } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import type { Column } from '../output/output.ts';
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

const backendArg = { backend: { help: 'host@backend, or its id' } } as const;

export const backendList = defineCommand({
  args: {},
  flags: {
    host: { type: 'string', placeholder: 'H', help: 'only on this host' },
    backend: { type: 'string', placeholder: 'NAME', help: 'only this name, or host@backend' },
    driver: { type: 'string', placeholder: 'ID', help: 'only of this driver' },
    limit: limitFlag,
  },
  examples: [{ command: 'cyborg backend-list --driver generic', help: 'its backends everywhere' }],
  async run({ flags }, { api, out }) {
    const query = { host: flags.host, backend: flags.backend, driver_id: flags.driver };
    await out.list(
      await take(all(api.listBackends, { query }), flags.limit),
      [
        { key: 'id', hidden: true },
        'name',
        'host',
        'driver_id',
        'version',
        'kind',
        'status',
        'state',
        'reason',
        freeColumn,
        ...countColumns,
        simulatedColumn,
      ],
      'No backends.',
    );
  },
});

export const backendShow = defineCommand({
  args: backendArg,
  flags: {},
  examples: [
    {
      command: 'cyborg backend-show node-1@virtual',
      help: 'settings, state, and the last lines of its driver',
    },
  ],
  async run({ args }, { api, out }) {
    await out.show(await api.showBackend({ params: { backend: args.backend } }), [
      statsColumn,
      logColumn,
    ]);
  },
});

const statsColumn: Column<V3Result<'showBackend'>> = {
  key: 'stats',
  text: ({ stats }) =>
    Object.entries(stats?.figures ?? {})
      .map(([name, value]) => `${name}=${value}`)
      .join('\n') || '-',
};
const logColumn: Column<V3Result<'showBackend'>> = {
  key: 'log',
  text: ({ log }) => log.map(({ at, level, message }) => `${at} ${level} ${message}`).join('\n'),
};

export const backendUpdate = defineCommand({
  changes: true,
  args: backendArg,
  flags: { ...statusFlags, force: forceFlag, dryRun: dryRunFlag },
  examples: [
    { command: 'cyborg backend-update node-1@pci --disable', help: 'it gives out nothing new' },
  ],
  async run({ args, flags }, context) {
    const answer = await context.api.updateBackend({
      params: { backend: args.backend },
      body: { status: requireStatus(flags) },
      ...forceArgs(context, flags),
    });
    await showChanged(answer, context);
  },
});

export const backendRestart = defineCommand({
  changes: true,
  args: backendArg,
  flags: { dryRun: dryRunFlag, wait: waitFlag },
  examples: [
    {
      command: 'cyborg backend-restart node-1@pci',
      help: 'its driver starts again; what is attached stays attached',
    },
  ],
  async run({ args, flags }, context) {
    const answer = await context.api.restartBackend({
      params: { backend: args.backend },
      ...actArgs(context, flags.dryRun),
    });
    await finishOperation(answer, context, { wait: flags.wait });
  },
});
