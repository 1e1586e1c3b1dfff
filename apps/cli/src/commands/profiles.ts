import { all, type V3Result } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import { UsageError } from '../errors.ts';
import type { Column } from '../output/output.ts';
import { actArgs, dryRunFlag, showChanged, showDeleted } from '../operations/act.ts';
import { limitFlag, splitPair, take } from './arguments.ts';

type Profile = V3Result<'showProfile'>;
type Group = Record<string, string>;

const groupsColumn: Column<Profile> = {
  key: 'groups',
  text: ({ groups }) =>
    groups
      .map((group) =>
        Object.entries(group)
          .map(([key, value]) => `${key}=${value}`)
          .join(', '),
      )
      .join('\n'),
};
const profileArg = { profile: { help: 'name of the profile, or its id' } } as const;

export const profileList = defineCommand({
  args: {},
  flags: { limit: limitFlag },
  examples: [{ command: 'cyborg profile-list', help: 'what can be asked for by name' }],
  async run({ flags }, { api, out }) {
    await out.list(
      await take(all(api.listProfiles, {}), flags.limit),
      ['id', 'name', groupsColumn, 'description'],
      'No device profiles.',
    );
  },
});

export const profileShow = defineCommand({
  args: profileArg,
  flags: {},
  examples: [{ command: 'cyborg profile-show crypto', help: 'what it asks for' }],
  async run({ args }, { api, out }) {
    await out.show(await api.showProfile({ params: { profile: args.profile } }), [groupsColumn]);
  },
});

export const profileCreate = defineCommand({
  changes: true,
  args: {
    name: { help: 'name of the profile' },
    groups: { help: "as upstream's client takes them: a JSON array of objects", optional: true },
  },
  flags: {
    group: {
      type: 'strings',
      placeholder: 'KEY=VALUE[,KEY=VALUE]',
      help: 'one request group; keys resources:CLASS, trait:NAME, accel:KEY',
    },
    description: { type: 'string', placeholder: 'TEXT', help: 'a description' },
    dryRun: dryRunFlag,
  },
  examples: [
    {
      command:
        'cyborg profile-create gpu --group resources:PGPU=1,trait:CUSTOM_PCI_VENDOR_ID_10DE=required',
      help: 'one GPU with that trait',
    },
    {
      command: `cyborg profile-create gpu '[{"resources:PGPU": "1"}]'`,
      help: "the form of 'openstack accelerator device profile create'",
    },
  ],
  async run({ args, flags }, context) {
    const groups = toGroups(args.groups, flags.group);
    const answer = await context.api.createProfile({
      body: { name: args.name, description: flags.description, groups },
      ...actArgs(context, flags.dryRun),
    });
    await showChanged(answer, context, [groupsColumn]);
  },
});

function toGroups(json: string | undefined, texts: readonly string[]): Group[] {
  const groups = [...(json === undefined ? [] : parseGroups(json)), ...texts.map(toGroup)];
  if (groups.length > 0) return groups;
  throw new UsageError('A profile needs a request group: --group resources:CLASS=N.');
}

function toGroup(text: string): Group {
  return Object.fromEntries(text.split(',').map((pair) => splitPair('--group', pair.trim())));
}

function parseGroups(json: string): Group[] {
  const refused = new UsageError(
    `The groups '${json}' are no JSON array of objects of texts, such as '[{"resources:PGPU": "1"}]'.`,
  );
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    throw refused;
  }
  if (!Array.isArray(parsed)) throw refused;
  return parsed.map((group: unknown) => {
    if (typeof group !== 'object' || group === null || Array.isArray(group)) throw refused;
    return Object.fromEntries(Object.entries(group).map(([key, value]) => [key, String(value)]));
  });
}

export const profileDelete = defineCommand({
  changes: true,
  args: profileArg,
  flags: { dryRun: dryRunFlag },
  examples: [{ command: 'cyborg profile-delete gpu', help: 'refused while an attachment uses it' }],
  async run({ args, flags }, context) {
    const answer = await context.api.deleteProfile({
      params: { profile: args.profile },
      ...actArgs(context, flags.dryRun),
    });
    await showDeleted(answer, context, `Deleted device profile ${args.profile}.`);
  },
});
