import { all } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import { UsageError } from '../errors.ts';
import { actArgs, dryRunFlag, showChanged, showDeleted } from '../operations/act.ts';
import { limitFlag, oneOf, take } from './arguments.ts';

export const grantList = defineCommand({
  args: {},
  flags: {
    project: { type: 'string', placeholder: 'ID', help: 'only of this project' },
    limit: limitFlag,
  },
  examples: [{ command: 'cyborg grant-list', help: 'who may manage drivers where' }],
  async run({ flags }, { api, out }) {
    await out.list(
      await take(all(api.listGrants, { query: { project_id: flags.project } }), flags.limit),
      ['id', 'project_id', 'host', 'backend', 'created_by', 'created_at'],
      'No grants.',
    );
  },
});

export const grantCreate = defineCommand({
  changes: true,
  args: { project_id: { help: 'the project', optional: true } },
  flags: {
    project: { type: 'string', placeholder: 'ID', help: 'the project (or as argument)' },
    host: { type: 'string', placeholder: 'H', help: 'the host' },
    backend: {
      type: 'string',
      placeholder: 'NAME',
      help: 'only this backend name, or host@backend',
    },
    dryRun: dryRunFlag,
  },
  examples: [
    {
      command: 'cyborg grant-create demo --host node-1',
      help: 'its managers may install drivers there',
    },
    { command: 'cyborg grant-create demo --backend node-1@pci', help: 'only that backend' },
  ],
  async run({ args, flags }, context) {
    const answer = await context.api.createGrant({
      body: {
        project_id: oneOf(args.project_id, flags.project, 'project'),
        ...toPlace(flags.host, flags.backend),
      },
      ...actArgs(context, flags.dryRun),
    });
    await showChanged(answer, context);
  },
});

function toPlace(
  host: string | undefined,
  backend: string | undefined,
): { host: string; backend?: string } {
  const at = backend?.lastIndexOf('@') ?? -1;
  if (backend === undefined || at === -1) {
    const place = { host: oneOf(undefined, host, 'host') };
    return backend === undefined ? place : { ...place, backend };
  }
  if (host !== undefined && host !== backend.slice(0, at)) {
    throw new UsageError(`--host '${host}' and --backend '${backend}' name two hosts.`);
  }
  return { host: backend.slice(0, at), backend: backend.slice(at + 1) };
}

export const grantDelete = defineCommand({
  changes: true,
  args: { id: { help: 'id of the grant' } },
  flags: { dryRun: dryRunFlag },
  examples: [{ command: 'cyborg grant-delete ID', help: 'attachments stay' }],
  async run({ args, flags }, context) {
    const answer = await context.api.deleteGrant({
      params: { id: args.id },
      ...actArgs(context, flags.dryRun),
    });
    await showDeleted(answer, context, `Deleted grant ${args.id}.`);
  },
});
