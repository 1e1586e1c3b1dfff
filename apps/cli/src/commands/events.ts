import { all, type V3Result } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import { followEvents } from '../operations/follow-events.ts';
import type { Column } from '../output/output.ts';
import { limitFlag, take } from './arguments.ts';

type Event = V3Result<'listEvents'>['items'][number];

const columns: readonly Column<Event>[] = [
  'number',
  'at',
  'kind',
  'subject_kind',
  'subject_id',
  'host',
  { key: 'data', text: ({ data }) => JSON.stringify(data) },
];

export const eventList = defineCommand({
  args: {},
  flags: {
    after: {
      type: 'integer',
      placeholder: 'NUMBER',
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      help: 'only events after this one',
    },
    kind: { type: 'string', placeholder: 'KIND', help: 'such as attachment.attached' },
    subject: { type: 'string', placeholder: 'ID', help: 'only about this thing' },
    limit: limitFlag,
    follow: { type: 'boolean', help: 'print events as they happen, from now or after --after' },
  },
  examples: [
    { command: 'cyborg event-list --subject ID', help: 'the history of one thing' },
    { command: 'cyborg event-list --follow -f json', help: 'one JSON object a line, without end' },
  ],
  async run({ flags }, context) {
    const { api, out } = context;
    const query = { after: flags.after, kind: flags.kind, subject_id: flags.subject };
    if (flags.follow) {
      await out.follow(followEvents(query, flags.limit, context), columns);
      return;
    }
    await out.list(await take(all(api.listEvents, { query }), flags.limit), columns, 'No events.');
  },
});
