import { all } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import {
  actArgs,
  dryRunFlag,
  finishOperation,
  isDryRun,
  operationTexts,
  showDryRun,
  showOperation,
} from '../operations/act.ts';
import { limitFlag, take } from './arguments.ts';

const operationArg = { id: { help: 'id of the operation' } } as const;

export const operationList = defineCommand({
  args: {},
  flags: {
    state: {
      type: 'string',
      placeholder: 'STATE',
      choices: ['queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled'],
      help: 'only those in this state',
    },
    kind: { type: 'string', placeholder: 'KIND', help: 'such as attach-instance' },
    limit: limitFlag,
  },
  examples: [{ command: 'cyborg operation-list --state failed', help: 'what went wrong' }],
  async run({ flags }, { api, out }) {
    const query = { state: flags.state, kind: flags.kind };
    await out.list(
      await take(all(api.listOperations, { query }), flags.limit),
      [
        'id',
        'kind',
        'state',
        ...operationTexts.filter((it) => typeof it === 'object' && it.key === 'progress'),
        'error',
        'created_at',
        'finished_at',
      ],
      'No operations.',
    );
  },
});

export const operationShow = defineCommand({
  args: operationArg,
  flags: { follow: { type: 'boolean', help: 'wait for its end' } },
  examples: [
    { command: 'cyborg operation-show ID', help: 'how far it is, and how each host fares' },
    { command: 'cyborg operation-show ID --follow', help: 'come back when it has ended' },
  ],
  async run({ args, flags }, context) {
    const operation = await context.api.showOperation({ params: { id: args.id } });
    const show = (it: typeof operation): Promise<void> => showOperation(it, context);
    if (flags.follow) await finishOperation(operation, context, { wait: true, show });
    else await show(operation);
  },
});

export const operationCancel = defineCommand({
  changes: true,
  args: operationArg,
  flags: { dryRun: dryRunFlag },
  examples: [{ command: 'cyborg operation-cancel ID', help: 'what has begun is unwound' }],
  async run({ args, flags }, context) {
    const answer = await context.api.cancelOperation({
      params: { id: args.id },
      ...actArgs(context, flags.dryRun),
    });
    if (isDryRun(answer)) await showDryRun(answer, context);
    else await showOperation(answer, context);
  },
});
