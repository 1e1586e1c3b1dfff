import { all } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import { actArgs, dryRunFlag, showChanged } from '../operations/act.ts';
import { accelerator, limitFlag, oneOf, take } from './arguments.ts';

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
      ['id', 'host', 'instance_id', 'device_name', 'ordered', 'first_seen_at'],
      'Nothing is unclaimed.',
    );
  },
});

export const unclaimedRelease = defineCommand({
  changes: true,
  args: unclaimedArg,
  flags: { dryRun: dryRunFlag },
  examples: [{ command: 'cyborg unclaimed-release ID', help: 'have its host unplug it' }],
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
      help: 'which accelerator it is (or its name)',
    },
    dryRun: dryRunFlag,
  },
  examples: [
    { command: 'cyborg unclaimed-adopt ID --accelerator ACC', help: 'enter it in the ledger' },
  ],
  async run({ args, flags }, context) {
    const chosen = await accelerator(
      context.api,
      oneOf(undefined, flags.accelerator, 'accelerator'),
    );
    const answer = await context.api.adoptUnclaimed({
      params: { id: args.id },
      body: { accelerator: chosen },
      ...actArgs(context, flags.dryRun),
    });
    await showChanged(answer, context);
  },
});
