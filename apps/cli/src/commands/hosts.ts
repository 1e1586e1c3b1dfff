import { all, type V3Result } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import type { Column } from '../output/output.ts';
import {
  actArgs,
  dryRunFlag,
  forceArgs,
  forceFlag,
  showChanged,
  showDeleted,
} from '../operations/act.ts';
import { limitFlag, requireChange, statusFlags, take, toLabels, toStatus } from './arguments.ts';
import { countColumns, freeColumn, simulatedColumn } from './columns.ts';

type Host = V3Result<'showHost'>;

const hostArg = { host: { help: 'name of the host, or its id' } } as const;
const conditions: Column<Host> = {
  key: 'conditions',
  text: (host) =>
    host.conditions.map(({ kind, message }) => `${kind}: ${message}`).join('\n') || '-',
};

export const hostList = defineCommand({
  args: {},
  flags: {
    state: {
      type: 'string',
      placeholder: 'STATE',
      choices: ['up', 'down'],
      help: 'only those in this state',
    },
    limit: limitFlag,
  },
  examples: [{ command: 'cyborg host-list --state down', help: 'whose agents are silent' }],
  async run({ flags }, { api, out }) {
    await out.list(
      await take(all(api.listHosts, { query: { state: flags.state } }), flags.limit),
      [
        'id',
        'name',
        'status',
        'state',
        'agent_version',
        freeColumn,
        ...countColumns,
        conditions,
        simulatedColumn,
      ],
      'No hosts.',
    );
  },
});

export const hostShow = defineCommand({
  args: hostArg,
  flags: {},
  examples: [{ command: 'cyborg host-show node-1', help: 'its agent, hypervisors and conditions' }],
  async run({ args }, { api, out }) {
    await out.show(await api.showHost({ params: { host: args.host } }), [conditions]);
  },
});

export const hostUpdate = defineCommand({
  changes: true,
  args: hostArg,
  flags: {
    ...statusFlags,
    reason: { type: 'string', placeholder: 'TEXT', help: 'why' },
    label: {
      type: 'strings',
      placeholder: 'KEY=VALUE',
      help: 'its labels; they replace the old ones',
    },
    clearLabels: { type: 'boolean', help: 'take all labels away' },
    serviceHost: {
      type: 'string',
      placeholder: 'NAME',
      help: "Nova's name of its compute service",
      nullable: 'forget it',
    },
    force: forceFlag,
    dryRun: dryRunFlag,
  },
  examples: [
    {
      command: 'cyborg host-update node-1 --disable --reason "new fans"',
      help: 'give out nothing new there',
    },
    {
      command: 'cyborg host-update node-1 --label rack=b4',
      help: 'for backends that select by label',
    },
  ],
  async run({ args, flags }, context) {
    const body = {
      status: toStatus(flags),
      reason: flags.reason,
      labels: flags.clearLabels ? {} : toLabels(flags.label),
      service_host: flags.serviceHost,
    };
    requireChange(body, '--enable, --disable, --label, --service-host');
    const answer = await context.api.updateHost({
      params: { host: args.host },
      body,
      ...forceArgs(context, flags),
    });
    await showChanged(answer, context, [conditions]);
  },
});

export const hostDelete = defineCommand({
  changes: true,
  args: hostArg,
  flags: {
    reason: {
      type: 'string',
      placeholder: 'TEXT',
      help: 'why what is not clean there need not be cleaned any more (kept as evidence)',
    },
    dryRun: dryRunFlag,
  },
  examples: [
    {
      command: 'cyborg host-delete node-1 --dry-run',
      help: 'what would go, or what is in the way',
    },
    {
      command: 'cyborg host-delete node-1 --reason "scrapped, disks shredded"',
      help: 'although something could not be cleaned',
    },
  ],
  async run({ args, flags }, context) {
    const { query, headers } = actArgs(context, flags.dryRun);
    const answer = await context.api.deleteHost({
      params: { host: args.host },
      query: { ...query, reason: flags.reason },
      headers,
    });
    await showDeleted(answer, context, `Deleted host ${args.host}.`);
  },
});

export const hostRevoke = defineCommand({
  changes: true,
  args: hostArg,
  flags: { dryRun: dryRunFlag },
  examples: [
    {
      command: 'cyborg host-revoke node-1',
      help: 'its agent may say nothing more; attachments stay',
    },
  ],
  async run({ args, flags }, context) {
    const answer = await context.api.revokeHost({
      params: { host: args.host },
      ...actArgs(context, flags.dryRun),
    });
    await showChanged(answer, context, [conditions]);
  },
});

export const hostReenroll = defineCommand({
  changes: true,
  args: hostArg,
  flags: { dryRun: dryRunFlag },
  examples: [
    {
      command: 'cyborg host-reenroll node-1 -f value -c token',
      help: 'a join token for a known host',
    },
  ],
  async run({ args, flags }, context) {
    const answer = await context.api.reenrollHost({
      params: { host: args.host },
      ...actArgs(context, flags.dryRun),
    });
    await showChanged(answer, context);
  },
});
