/** What a changing command does with the server's answer. */
import type { V3Result } from '@cyborg/api-client/v3';

import type { Context } from '../command.ts';
import { CliError } from '../errors.ts';
import { cellText } from '../output/cells.ts';
import type { Column } from '../output/output.ts';
import { lineProgress, spinnerProgress, type Progress } from './progress.ts';
import { isFinal, waitForOperation, type Operation } from './wait.ts';

type DryRun = Extract<V3Result<'createAttachments'>, { dry_run: true }>;

export const dryRunFlag = {
  type: 'boolean',
  help: 'print what would happen and change nothing',
} as const;
export const waitFlag = {
  type: 'negated',
  help: 'print the operation and return at once',
} as const;

export const forceFlag = {
  type: 'boolean',
  help: 'although something is in use (admins; is recorded)',
} as const;

/** Query and headers of a changing call that may be forced. */
export function forceArgs(
  context: Context,
  flags: { readonly dryRun: boolean; readonly force: boolean },
): { query: { dry_run?: true; force?: true }; headers: Readonly<Record<string, string>> } {
  const { query, headers } = actArgs(context, flags.dryRun);
  return { query: flags.force ? { ...query, force: true } : query, headers };
}

/** Query and headers of a changing call: a dry run is no act and takes no key. */
export function actArgs(
  context: Context,
  isDryRun: boolean,
): { query: { dry_run?: true }; headers: Readonly<Record<string, string>> } {
  return isDryRun
    ? { query: { dry_run: true }, headers: {} }
    : { query: {}, headers: context.keyed };
}

export function isDryRun<T>(answer: T | DryRun): answer is DryRun {
  return typeof answer === 'object' && answer !== null && 'dry_run' in answer;
}

/** @throws CliError when the act would be refused, so that a script can ask by the exit code. */
export async function showDryRun(dryRun: DryRun, { out }: Context): Promise<void> {
  if (out.format === 'table') await showDryRunToPeople(dryRun, out);
  else await out.show(dryRun);
  const { refusal } = dryRun;
  if (dryRun.would_succeed) return;
  throw new CliError(
    `It would be refused: ${refusal?.detail ?? 'no reason was given.'}`,
    refusal?.code === 'choice-needed' ? 2 : 1,
  );
}

async function showDryRunToPeople(dryRun: DryRun, out: Context['out']): Promise<void> {
  const { changes, nearest_misses: misses } = dryRun;
  if (dryRun.would_succeed) out.say('Nothing was changed. This would happen:');
  const changeColumns: Column<(typeof changes)[number]>[] = [
    'subject_kind',
    'subject_id',
    'change',
  ];
  if (changes.length > 0) await out.list(changes, changeColumns, '');
  else if (dryRun.would_succeed) out.say('nothing: it is so already.');
  if (misses.length === 0) return;
  out.say('Nearest misses:');
  await out.list(misses, ['name', 'accelerator_id', 'why_not'], '');
}

/** An answer that is either the new thing or a dry run. */
export async function showChanged<T extends object>(
  answer: T | DryRun,
  context: Context,
  columns: readonly Column<T>[] = [],
): Promise<void> {
  if (isDryRun(answer)) await showDryRun(answer, context);
  else await context.out.show(answer, columns);
}

/** The answer of a delete: nothing, or a dry run. */
export async function showDeleted(
  answer: DryRun | null,
  context: Context,
  sentence: string,
): Promise<void> {
  if (answer === null) context.out.say(sentence);
  else await showDryRun(answer, context);
}

export interface FinishOptions {
  readonly wait: boolean;
  /** How success is shown; absent = the operation itself. */
  readonly show?: (operation: Operation) => Promise<void>;
}

/** Waits for the operation, unless told not to, and shows how it ended. */
export async function finishOperation(
  answer: Operation | DryRun,
  context: Context,
  { wait, show }: FinishOptions,
): Promise<void> {
  if (isDryRun(answer)) return showDryRun(answer, context);
  if (!wait) return showBriefly(answer, context);
  const last = isFinal(answer) ? answer : await follow(answer, context);
  if (last.state === 'succeeded')
    return show === undefined ? showBriefly(last, context) : show(last);
  if (context.out.format !== 'table') await showBriefly(last, context);
  throw new CliError(failureOf(last));
}

export function showOperation(operation: Operation, { out }: Context): Promise<void> {
  return out.show(operation, operationTexts);
}

export const operationTexts: readonly Column<Operation>[] = [
  { key: 'subject', text: ({ subject }) => describeSubject(subject) },
  { key: 'progress', text: ({ progress }) => `${progress.done} of ${progress.total}` },
  { key: 'results', text: ({ results }) => results.map(describeResult).join('\n') || '-' },
];

/** What the one who just asked for it knows already, or learns from the message, is left out for people. */
function showBriefly(operation: Operation, { out }: Context): Promise<void> {
  const { already_installed: isSame, driver_id: driver, version } = operation.subject;
  if (isSame === true && out.format === 'table') {
    out.say(`Driver ${cellText(driver, '')} ${cellText(version, '')} is already installed so.`);
  }
  const known = ['subject', 'error', 'user_id', 'project_id'] as const;
  const instants = ['created_at', 'updated_at', 'finished_at'] as const;
  const hidden = [...known, ...instants].map((key) => ({ key, hidden: true }) as const);
  return out.show(operation, [...operationTexts, ...hidden]);
}

function describeSubject(subject: Operation['subject']): string {
  const lines = Object.entries(subject).flatMap(([key, value]) =>
    [value].flat().map((each) => `${key}=${cellText(each, '-')}`),
  );
  return lines.join('\n') || '-';
}

function describeResult({ host, subject, outcome, message }: Operation['results'][number]): string {
  return [
    host === null ? '' : `${host}: `,
    `${subject} ${outcome}`,
    message ? ` (${message})` : '',
  ].join('');
}

function failureOf({ id, kind, state, error, results }: Operation): string {
  if (state === 'cancelled') return `Operation ${id} (${kind}) was cancelled.`;
  const failed = results.filter(({ outcome }) => outcome === 'failed').map(describeResult);
  const reason = error ?? (failed.join('; ') || 'no reason was given');
  return `Operation ${id} (${kind}) failed: ${reason}`;
}

async function follow(operation: Operation, context: Context): Promise<Operation> {
  const progress = await startProgress(operation, context);
  let latest = operation;
  const onChange = (next: Operation): void => {
    latest = next;
    progress.update(next);
  };
  const { http, io } = context;
  using _interrupt = io.onInterrupt(
    () =>
      `Operation ${operation.id} goes on. Look with 'cyborg operation-show ${operation.id}', or stop it with 'cyborg operation-cancel ${operation.id}'.`,
  );
  try {
    return await waitForOperation(operation, { http, clock: io.clock, rng: io.rng, onChange });
  } finally {
    await progress.end(latest);
  }
}

const spinnerColumnsMin = 40;

async function startProgress(operation: Operation, { io, out, warn }: Context): Promise<Progress> {
  const { isTTY, columns, rows } = io.stderr;
  // A terminal without a size (a bare pty of a CI system) would show nothing, or one letter a line.
  const canSpin = isTTY && columns >= spinnerColumnsMin && rows > 1;
  if (canSpin && out.format === 'table') return spinnerProgress(io.stderr, operation);
  const progress = lineProgress(warn);
  progress.update(operation);
  return progress;
}
