import { nearest } from '@cyborg/model/nearest';
import { escaped } from '@cyborg/model/plain-text';

import packageJson from '../package.json' with { type: 'json' };
import { catalogue } from './catalogue.ts';
import type { Context } from './command.ts';
import { readCommandLine, type Request } from './command-line.ts';
import { toFailure, UsageError, type ExitCode } from './errors.ts';
import type { Words } from './field-words.ts';
import type { Io } from './io.ts';
import type { CommonFlags, Parsed } from './parse.ts';

/** Told as it becomes known, for messages about what fails after. */
interface Known {
  url?: string;
  words?: Words;
  command?: string;
}

/** Runs one command line. Everything heavy is loaded when it is needed. */
export async function runCli(argv: readonly string[], io: Io): Promise<ExitCode> {
  const known: Known = {};
  try {
    await runRequest(readCommandLine(argv), io, known);
    return 0;
  } catch (error) {
    if (isBrokenPipe(error)) return 0;
    const { message, exitCode } = toFailure(error, known);
    io.stderr.write(`cyborg: ${message}\n`);
    return exitCode;
  }
}

/** The reader of our output went away (`| head`): nobody is there to be told. */
function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE';
}

async function runRequest(request: Request, io: Io, known: Known): Promise<void> {
  switch (request.kind) {
    case 'version':
      io.stdout.write(`cyborg ${packageJson.version}\n`);
      return;
    case 'overview':
      io.stdout.write((await import('./help.ts')).overview());
      return;
    case 'nothing':
      throw new UsageError("No command is given. 'cyborg --help' lists them.");
    case 'command':
      return runCommand(request, io, known);
    default:
      return request;
  }
}

async function runCommand(
  { name, argv }: Request & { kind: 'command' },
  io: Io,
  known: Known,
): Promise<void> {
  const entry = Object.hasOwn(catalogue, name) ? catalogue[name] : undefined;
  if (entry === undefined) {
    const names = nearest(name, Object.keys(catalogue));
    const hint = names.length === 0 ? '' : ` Nearest: ${names.join(', ')}.`;
    throw new UsageError(`There is no command '${name}'.${hint} See 'cyborg --help'.`);
  }
  const [command, { parseCommandLine }] = await Promise.all([entry.load(), import('./parse.ts')]);
  known.words = command;
  known.command = name;
  const named = { name, summary: entry.summary, command };
  const parsed = parseCommandLine(named, argv, (text) => io.stdout.write(text));
  if (parsed === undefined) return;
  if (command.isLocal === true) {
    const warn = (line: string): void => void io.stderr.write(`${escaped(line)}\n`);
    const out = await openOutput(parsed.common, { io, isLenient: false, warn });
    return command.run(parsed.input, { io, out, warn });
  }
  const context = await openContext(parsed, { io, isLenient: command.changes === true, known });
  try {
    await command.run(parsed.input, context);
  } finally {
    context.http.close();
  }
}

interface ContextDeps {
  readonly io: Io;
  readonly isLenient: boolean;
  readonly known: Known;
}

/** A server that nobody started is not waited for as long as one that went away. */
const firstContactMsMax = 2_000;

async function openContext(
  { common }: Parsed,
  { io, isLenient, known }: ContextDeps,
): Promise<Context> {
  const [{ findConnection }, { createHttpClient }, { createV3Client }] = await Promise.all([
    import('./connection/connection.ts'),
    import('@cyborg/api-client/http'),
    import('@cyborg/api-client/v3'),
  ]);
  const warn = (line: string): void => void io.stderr.write(`${escaped(line)}\n`);
  const { url, auth, ca } = await findConnection(common, { io, warn });
  known.url = url;
  const http = createHttpClient({
    baseUrl: url,
    auth,
    ca,
    retry: { firstContactMsMax },
    userAgent: `cyborg/${packageJson.version}`,
    clock: io.clock,
    rng: io.rng,
  });
  return {
    api: createV3Client(http),
    http,
    io,
    url,
    warn,
    keyed: { 'idempotency-key': io.rng.uuid() },
    out: await openOutput(common, { io, isLenient, warn }),
  };
}

async function openOutput(
  { format, column = [] }: CommonFlags,
  { io, isLenient, warn }: { io: Io; isLenient: boolean; warn: (line: string) => void },
): Promise<Context['out']> {
  const { createOutput } = await import('./output/output.ts');
  const write = (text: string): void => void io.stdout.write(text);
  return createOutput({ format, columns: column, isLenient, write, warn });
}
