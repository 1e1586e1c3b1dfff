import { all } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import { actArgs, dryRunFlag, showChanged } from '../operations/act.ts';
import { accelerator, limitFlag, take } from './arguments.ts';

const unclaimedArg = { id: { help: 'id of the unclaimed device' } } as const;

export const unclaimedList = defineCommand({
  args: {},
  flags: {
    host: { type: 'string', placeholder: 'H', help: 'only on this host' },
    limit: limitFlag,
  },
  examples: [
    { command: 'cyborg unclaimed-list', help: 'devices in guests that the ledger does not know' },
  ],
  async run({ flags }, { api, out }) {
    await out.list(
      await take(all(api.listUnclaimed, { query: { host: flags.host } }), flags.limit),
      [
        'id',
        'host',
        'instance_id',
        'accelerator_name',
        'address',
        'device_name',
        'ordered',
        'reason',
        'first_seen_at',
      ],
      'Nothing is unclaimed.',
    );
  },
});

export const unclaimedRelease = defineCommand({
  changes: true,
  args: unclaimedArg,
  flags: { dryRun: dryRunFlag },
  examples: [
    {
      command: 'cyborg unclaimed-release ID',
      help: 'have its host unplug it; its accelerator is cleaned then',
    },
  ],
  async run({ args, flags }, context) {
    const answer = await context.api.releaseUnclaimed({
      params: { id: args.id },
      ...actArgs(context, flags.dryRun),
    });
    await showChanged(answer, context);
  },
});

export const unclaimedAdopt = defineCommand({
  changes: true,
  args: unclaimedArg,
  flags: {
    accelerator: {
      type: 'string',
      placeholder: 'ID',
      help: 'which accelerator it is (or its name); needed where unclaimed-list has none',
    },
    dryRun: dryRunFlag,
  },
  examples: [
    { command: 'cyborg unclaimed-adopt ID', help: 'enter it in the ledger' },
    {
      command: 'cyborg unclaimed-adopt ID --accelerator ACC',
      help: 'where nobody knows which accelerator it is',
    },
  ],
  async run({ args, flags }, context) {
    const { accelerator: named } = flags;
    const answer = await context.api.adoptUnclaimed({
      params: { id: args.id },
      body: named === undefined ? {} : { accelerator: await accelerator(context.api, named) },
      ...actArgs(context, flags.dryRun),
    });
    await showChanged(answer, context);
  },
});
