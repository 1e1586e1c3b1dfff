/** Writes the parts of docs/reference/driver-protocol.md that follow from code: `node test/conformance/page.ts`. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readPackage } from '@cyborg/driver-host/catalogue';
import { streamLimits } from '@cyborg/driver-host/limits';
import {
  AttachPlanSchema,
  BackendSpecSchema,
  HealthSchema,
  DriverDeviceSchema,
  DriverServiceSchema,
  agentRequests,
  driverNotifications,
  driverRequests,
  protocolLimits,
} from '@cyborg/driver-sdk/protocol';
import { clauses } from '@cyborg/driver-test/clauses';
import { openJournal, readJournal, type JournalLine } from '@cyborg/driver-test/journal';
import { Subject } from '@cyborg/driver-test/subject';
import { systemClock } from '@cyborg/service/clock';

export const pageFile = new URL('../../docs/reference/driver-protocol.md', import.meta.url);
export const sampleFolder = join(import.meta.dirname, '../../drivers/sample-python');

export function limitsTable(): string {
  const rows: [string, string][] = [
    [`${protocolLimits.frameBytesMax / 1024 / 1024} MiB`, 'a message, either way'],
    [`${streamLimits.headerBytesMax} bytes`, 'the header of a frame'],
    [
      `${protocolLimits.notificationsPerSecondMax} per second`,
      `messages that are no answers, after a burst of ${streamLimits.unaskedFramesBurst}`,
    ],
    [`${protocolLimits.stderrBytesPerSecondMax / 1024} KiB per second`, 'stderr'],
    [`${protocolLimits.logMessageCharactersMax} characters`, 'the message of a `log`'],
    [`${protocolLimits.openNodesMax}`, 'nodes in one `openNodes`'],
    [`${protocolLimits.serialNumbersMax}`, 'functions in one `serialNumbers`'],
    [`${protocolLimits.agentAnswerMsMax / 1000} s`, 'until the agent has answered'],
    [`${streamLimits.heapMiBMax} MiB`, 'the heap of a driver for Node'],
    [`${streamLimits.programDataMiBMax} MiB`, 'private memory of any other'],
    [`${streamLimits.openFilesMax}`, 'open files'],
  ];
  return ['| at most | of |', '|---|---|', ...rows.map((row) => `| ${row.join(' | ')} |`)].join(
    '\n',
  );
}

export function clauseTable(): string {
  const rows = Object.entries(clauses).map(([id, text]) => `| ${id} | ${text} |`);
  return ['| id | clause |', '|---|---|', ...rows].join('\n');
}

const shared = new Map<object, string>([
  [AttachPlanSchema, 'AttachPlan'],
  [BackendSpecSchema, 'BackendSpec'],
  [HealthSchema, 'Health'],
  [DriverDeviceSchema, 'Device'],
  [DriverServiceSchema, 'Service'],
]);

export function schemaBlock(): string {
  const requests = (
    group: Readonly<Record<string, { params: object; result: object }>>,
  ): string[] =>
    Object.entries(group).map(
      ([name, { params, result }]) =>
        `${JSON.stringify(name)}: {\n  "params": ${compact(params)},\n  "result": ${compact(result)}\n}`,
    );
  const notifications = Object.entries(driverNotifications).map(
    ([name, params]) => `${JSON.stringify(name)}: { "params": ${compact(params)} }`,
  );
  const defs = [...shared].map(([schema, name]) => `"${name}": ${compact(schema, schema)}`);
  const blocks: [string, string[]][] = [
    ['To the driver', requests(driverRequests)],
    ['To the agent', requests(agentRequests)],
    ['Notifications', notifications],
    ['`$defs`', defs],
  ];
  return blocks
    .map(([title, members]) => `### ${title}\n\n\`\`\`json\n{\n${members.join(',\n')}\n}\n\`\`\``)
    .join('\n\n');
}

function compact(schema: object, root?: object): string {
  const names = new Map([...shared].map(([key, name]) => [JSON.stringify(key), name]));
  const replaced: unknown = JSON.parse(JSON.stringify(schema), (_key, value: unknown) => {
    const name = names.get(JSON.stringify(value));
    const isRoot = root !== undefined && JSON.stringify(value) === JSON.stringify(root);
    return name === undefined || isRoot ? value : { $ref: `#/$defs/${name}` };
  });
  return JSON.stringify(replaced);
}

/** What is said, without the frames. */
export async function recordConversation(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'cyborg-page-'));
  const file = join(folder, 'talk.jsonl');
  try {
    await converse(file);
    return toText(readJournal(file).lines);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function converse(file: string): Promise<void> {
  const pkg = await readPackage(sampleFolder);
  const driver = { id: pkg.id, version: pkg.version };
  const journal = openJournal(file, { cyborg_driver_conversation: 1, driver }, systemClock);
  const onViolation = (): void => undefined;
  const options = { pkg, clock: systemClock, journal, callMs: 10_000, onViolation };
  const subject = await Subject.open(options);
  try {
    const { conversation, launched } = await subject.start();
    const state = launched.stateDir === null ? null : '/var/lib/cyborg/driver-state/sample-python';
    await conversation.call('initialize', {
      ...subject.greeting(launched),
      roots: { sysfs: '/sys', proc: '/proc', dev: '/dev' },
      state_dir: state,
    });
    const backend = { name: 'noise', kind: 'entropy', config: { count: 1 } };
    await conversation.call('install', { backend, dry_run: false });
    await conversation.call('discover', { backend: 'noise' });
    const target = { backend: 'noise', accelerator: 'entropy-0', epoch: 7 };
    const ends = { attachment: 'a3f1', instance: '5b0c' };
    await conversation.call('prepare', { ...target, ...ends, plugs: ['pci', 'virtio-rng'] });
    await conversation.attempt('prepare', { ...target, ...ends, plugs: ['pci'] });
    await conversation.call('release', { ...target, epoch: 8, attachment: 'a3f1' });
    await conversation.call('clean', { ...target, epoch: 8 });
    await conversation.call('shutdown', {});
    await conversation.exited;
  } finally {
    await subject.close();
    journal.close();
  }
}

function toText(lines: readonly JournalLine[]): string {
  const said = lines.flatMap((line) => {
    if (line.what === 'sent') return [`→ ${JSON.stringify(line.message)}`];
    return line.what === 'received' ? [`← ${JSON.stringify(line.message)}`] : [];
  });
  return ['```', ...said, '```'].join('\n');
}

/** The page's conversation as a recording. */
export function conversationOf(page: string): JournalLine[] {
  const at = { process: 1, at_ms: 0 };
  const said = [...page.matchAll(/^([→←]) (\{.*\})$/gm)].map(([, arrow, json]): JournalLine => {
    const message: unknown = JSON.parse(json ?? '');
    return { ...at, what: arrow === '→' ? 'sent' : 'received', message };
  });
  return [{ ...at, what: 'start' }, ...said];
}

export function partOf(page: string, name: string): string {
  return new RegExp(`<!-- ${name} -->\\n([^]*?)<!-- end -->`).exec(page)?.[1]?.trim() ?? '';
}

function withPart(page: string, name: string, text: string): string {
  const marks = new RegExp(`(<!-- ${name} -->\\n)[^]*?(<!-- end -->)`);
  return page.replace(marks, (_all, start: string, end: string) => `${start}\n${text}\n\n${end}`);
}

if (import.meta.main) {
  const parts = {
    limits: limitsTable(),
    conversation: await recordConversation(),
    clauses: clauseTable(),
    schemas: schemaBlock(),
  };
  let page = readFileSync(pageFile, 'utf8');
  for (const [name, text] of Object.entries(parts)) page = withPart(page, name, text);
  writeFileSync(pageFile, page);
}
