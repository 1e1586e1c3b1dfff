import { all } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import { UsageError } from '../errors.ts';
import { actArgs, dryRunFlag, showChanged } from '../operations/act.ts';
import { limitFlag, take } from './arguments.ts';
import { simulatedColumn } from './columns.ts';

const instanceArg = {
  instance_id: { help: 'id of the instance, or a name that is unique' },
} as const;

export const instanceList = defineCommand({
  args: {},
  flags: {
    host: { type: 'string', placeholder: 'H', help: 'only on this host' },
    project: { type: 'string', placeholder: 'ID', help: 'only of this project' },
    limit: limitFlag,
  },
  examples: [{ command: 'cyborg instance-list', help: 'the virtual machines that agents see' }],
  async run({ flags }, { api, out }) {
    const query = { host: flags.host, project_id: flags.project };
    await out.list(
      await take(all(api.listInstances, { query }), flags.limit),
      [
        'id',
        'name',
        'host',
        'hypervisor',
        'state',
        'project_id',
        'presence',
        'attachments_total',
        simulatedColumn,
      ],
      'No instances.',
    );
  },
});

export const instanceShow = defineCommand({
  args: instanceArg,
  flags: {},
  examples: [
    { command: 'cyborg instance-show vm-1', help: 'where it runs and what it can be given' },
  ],
  async run({ args }, { api, out }) {
    const params = { instance_id: args.instance_id };
    await out.show(await api.showInstance({ params }));
  },
});

export const instanceUpdate = defineCommand({
  changes: true,
  args: instanceArg,
  flags: {
    project: {
      type: 'string',
      placeholder: 'ID',
      help: 'the project it belongs to (admins)',
      nullable: 'to none: only admins see it',
    },
    dryRun: dryRunFlag,
  },
  examples: [
    { command: 'cyborg instance-update vm-1 --project demo', help: 'its members may use it now' },
  ],
  async run({ args, flags }, context) {
    if (flags.project === undefined) {
      throw new UsageError('Nothing to change: give --project ID or --no-project.');
    }
    const params = { instance_id: args.instance_id };
    const body = { project_id: flags.project };
    const answer = await context.api.updateInstance({
      params,
      body,
      ...actArgs(context, flags.dryRun),
    });
    await showChanged(answer, context);
  },
});
