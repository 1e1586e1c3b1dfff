/** Every way a command ends badly becomes one line: what happened, and what to do. */
import { ApiError, ConnectionError } from '@cyborg/api-client/errors';
import { escaped } from '@cyborg/model/plain-text';

import { inCommandWords, type Words } from './field-words.ts';

/** 0 done, 1 refused or failed, 2 wrong usage. */
export type ExitCode = 0 | 1 | 2;

/** An expected failure of the CLI's own; its message is for the user. */
export class CliError extends Error {
  override readonly name: string = 'CliError';
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

export class UsageError extends CliError {
  override readonly name = 'UsageError';

  constructor(message: string) {
    super(message, 2);
  }
}

export interface Failure {
  readonly message: string;
  readonly exitCode: ExitCode;
}

/** What is known when a command fails. */
export interface Known {
  /** Where the client speaks to, for the way out of a connection that fails. */
  readonly url?: string | undefined;
  /** Whose flags and arguments the user typed. */
  readonly words?: Words | undefined;
  /** What it is called: `backend-list`. */
  readonly command?: string | undefined;
}

export function toFailure(error: unknown, known: Known): Failure {
  const { message, exitCode } = rawFailure(error, known);
  return { message: escaped(message.replaceAll(/\s*\n\s*/g, ' ').trim()), exitCode };
}

function rawFailure(error: unknown, known: Known): Failure {
  if (error instanceof CliError) return { message: error.message, exitCode: error.exitCode };
  if (error instanceof ApiError) return apiFailure(error, known);
  if (error instanceof ConnectionError) {
    return { message: connectionMessage(error, known.url ?? 'the server'), exitCode: 1 };
  }
  if (isSystemError(error)) return { message: outputMessage(error), exitCode: 1 };
  const text = error instanceof Error ? error.message : String(error);
  return { message: `${text} (an error of the CLI itself: please report it)`, exitCode: 1 };
}

/** Of writing what was found: all else that the CLI opens has a sentence of its own. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && error.syscall === 'write';
}

/** The output is a file on a full disk, a device, a closed terminal. */
export function outputMessage(error: Error): string {
  return `Cannot write the output: ${error.message}. What was asked for may be done; only its result was not written.`;
}

function apiFailure(error: ApiError, { words, command }: Known): Failure {
  const isChoice = error.code === 'choice-needed';
  const detail = inCommandWords(asTyped(error, command), words);
  const message = [detail, ...extraSentences(error), ...wayOut(error)]
    .map((sentence) => sentence.trim().replace(/(?<![.!?)])$/, '.'))
    .join(' ');
  return { message, exitCode: isChoice ? 2 : 1 };
}

/** The policy's word for an act is the API's: `backend:list is not allowed …` → `'cyborg backend-list' is not allowed …`. */
function asTyped({ code, detail }: ApiError, command: string | undefined): string {
  if (code !== 'forbidden' || command === undefined) return detail;
  return detail.replace(/^[a-z-]+:[a-z-]+(?= is not allowed)/, `'cyborg ${command}'`);
}

/** What the problem lists beside its sentence, unless the sentence has it already. */
const extraLabels = {
  nearest: 'Nearest that exist:',
  users: 'In use by:',
  choices: 'Choices:',
  nearest_misses: 'Nearest misses:',
} as const;

function extraSentences({ extra, detail }: ApiError): string[] {
  return Object.entries(extraLabels).flatMap(([member, label]) => {
    const given = extra[member];
    const items = (Array.isArray(given) ? given : []).map(describeItem);
    const isTold = (Array.isArray(given) ? given : []).every((item) => tells(detail, item));
    return items.length === 0 || isTold ? [] : [`${label} ${items.join('; ')}.`];
  });
}

/** Whether the sentence has the item already: its text, or the names and ids that make it known. */
function tells(detail: string, item: unknown): boolean {
  if (typeof item !== 'object' || item === null) return detail.includes(String(item));
  if (detail.includes(describeItem(item))) return true;
  const { instance_id: instance, accelerator } = membersOf(item);
  const told = [instance, accelerator].filter((text) => typeof text === 'string');
  return told.length > 0 && told.every((text) => detail.includes(text));
}

function describeItem(item: unknown): string {
  if (typeof item !== 'object' || item === null) return String(item);
  if ('why_not' in item && 'name' in item) {
    return `${String(item.name)}: ${[item.why_not].flat().join(', ')}`;
  }
  if ('accelerators' in item) return describeChoice(item);
  return Object.entries(item)
    .filter(([, value]) => value !== null)
    .map(([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
    .join(', ');
}

function membersOf(item: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(item));
}

/** Of a kind; accelerator-list has the rest. */
const namedMax = 2;

/** A kind that is free, or one of several of the same name, with ids to choose by. */
function describeChoice(choice: object): string {
  const { driver_id: driver, type, backend, free, accelerators } = membersOf(choice);
  const all = Array.isArray(accelerators) ? accelerators : [];
  const more = all.length > namedMax ? ', …' : '';
  const named = all.slice(0, namedMax).map(describeNamed).join(', ') + more;
  const kind = [driver, type].filter((part) => typeof part === 'string').join(' ');
  const place = typeof backend === 'string' ? ` on ${backend}` : '';
  const count = typeof free === 'number' ? `, ${free} free` : '';
  return `${kind}${place}${count}: ${named}`.trim();
}

function describeNamed(item: unknown): string {
  if (typeof item !== 'object' || item === null) return String(item);
  const { id, name } = membersOf(item);
  return `${String(name)} (${String(id)})`;
}

function wayOut(error: ApiError): string[] {
  if (error.status === 401) {
    // The server's challenge speaks of tokens; who types commands has a cloud.
    if (error.detail.includes('Keystone')) {
      return [
        'Sign in with --os-cloud NAME (of clouds.yaml), OS_CLOUD, or OS_AUTH_URL and its like.',
      ];
    }
    return [
      'Give --user and --password, or name a connection file with CYBORG_CONFIG ' +
        "('npm start' writes client.yaml into its state directory).",
    ];
  }
  if (error.code === 'choice-needed' && !error.detail.includes('--accelerator'))
    return ['Choose with --accelerator, --profile or --driver.'];
  const { requestId } = error;
  if (error.status === 500 && requestId !== undefined && !error.detail.includes(requestId)) {
    return [`The server's log has it as request ${requestId}.`];
  }
  return [];
}

function connectionMessage(error: ConnectionError, url: string): string {
  switch (error.failure) {
    case 'refused':
      return `No server answers at ${url}. Is it running? 'npm start' starts one; --url, CYBORG_URL or CYBORG_CONFIG names another.`;
    case 'unresolvable':
      return `The host of ${url} has no address. Correct --url, CYBORG_URL or the connection file.`;
    case 'tls':
      return `No trusted connection to ${url} (${reasonOf(error)}). Name its authority as ca_file in the connection file, or correct http or https.`;
    case 'lost':
      return `The connection to ${url} broke before an answer came. Is it the right server, with http or https? A change may have been carried out all the same: look with 'cyborg operation-list'.`;
    case 'timeout':
      return `${url} did not answer in time. Look with 'cyborg operation-list' whether it works on it, or try again.`;
    case 'too-large':
    case 'malformed':
      return `${error.message} Is a Cyborg server at ${url}?`;
    default:
      return error.message;
  }
}

/** The first part of what Node says: the rest advises the programmer. */
function reasonOf({ cause, message }: ConnectionError): string {
  const [reason = message] = (cause instanceof Error ? cause.message : message).split(';');
  return reason;
}
