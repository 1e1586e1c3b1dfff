import { all } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import { actArgs, dryRunFlag, showChanged, showDeleted } from '../operations/act.ts';
import { limitFlag, take } from './arguments.ts';

export const joinTokenCreate = defineCommand({
  changes: true,
  args: {},
  flags: {
    host: { type: 'string', placeholder: 'NAME', help: 'only a host of this name may use it' },
    simulated: { type: 'boolean', help: 'for a host of a demo fleet' },
    dryRun: dryRunFlag,
  },
  examples: [{ command: 'cyborg join-token-create', help: 'for a new host; single use, one hour' }],
  async run({ flags }, context) {
    const body = { host: flags.host, simulated: flags.simulated ? true : undefined };
    const answer = await context.api.createJoinToken({
      body,
      ...actArgs(context, flags.dryRun),
    });
    await showChanged(answer, context);
  },
});

export const joinTokenList = defineCommand({
  args: {},
  flags: { limit: limitFlag },
  examples: [{ command: 'cyborg join-token-list', help: 'who may still join, and until when' }],
  async run({ flags }, { api, out }) {
    await out.list(
      await take(all(api.listJoinTokens, { query: {} }), flags.limit),
      ['id', 'host', 'reenrol', 'simulated', 'created_by', 'expires_at'],
      'No join tokens that could still be used.',
    );
  },
});

export const joinTokenDelete = defineCommand({
  changes: true,
  args: { id: { help: 'id of the join token' } },
  flags: { dryRun: dryRunFlag },
  examples: [{ command: 'cyborg join-token-delete ID', help: 'no host joins with it any more' }],
  async run({ args, flags }, context) {
    const answer = await context.api.deleteJoinToken({
      params: { id: args.id },
      ...actArgs(context, flags.dryRun),
    });
    await showDeleted(answer, context, `Deleted join token ${args.id}.`);
  },
});
