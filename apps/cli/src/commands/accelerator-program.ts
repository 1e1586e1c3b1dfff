/** accelerator-update --program: uploads a file, or names an image of Glance, and follows its way into the card. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename, resolve } from 'node:path';

import type { Context } from '../command.ts';
import { CliError } from '../errors.ts';
import { actArgs, finishOperation, isDryRun, showDryRun } from '../operations/act.ts';

export interface ProgramFlags {
  /** A file, or the id of an image in Glance. */
  readonly program: string;
  readonly sha256: string | undefined;
  readonly dryRun: boolean;
  readonly wait: boolean;
}

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** Twice the server's own limit for a request. */
const uploadTimeoutMs = 120_000;

export async function programAccelerator(
  context: Context,
  id: string,
  flags: ProgramFlags,
): Promise<void> {
  const { program, sha256 } = flags;
  const body = uuidPattern.test(program)
    ? { image_id: program.toLowerCase(), sha256 }
    : await upload(context, flags);
  const answer = await context.api.programAccelerator({
    params: { id },
    body,
    ...actArgs(context, flags.dryRun),
  });
  await finishOperation(answer, context, { wait: flags.wait });
}

/** Of a dry run there is no id: the rest is rehearsed with the digest alone. */
async function upload(
  context: Context,
  { program, sha256, dryRun }: ProgramFlags,
): Promise<{ readonly upload_id?: string; readonly sha256: string }> {
  const path = resolve(context.io.workingDirectory, program);
  const digest = await digestOf(path, program);
  if (sha256 !== undefined && sha256 !== digest) {
    throw new CliError(
      `--sha256: ${program} has ${digest}, and not ${sha256}: it is damaged, or another one.`,
    );
  }
  const { query, headers } = actArgs(context, dryRun);
  const answer = await context.api.uploadProgram({
    query: { ...query, name: basename(path), sha256: digest },
    headers: { ...headers, 'content-type': 'application/octet-stream' },
    body: { [Symbol.asyncIterator]: () => createReadStream(path)[Symbol.asyncIterator]() },
    timeoutMs: uploadTimeoutMs,
  });
  if (!isDryRun(answer)) return { upload_id: answer.id, sha256: digest };
  if (!answer.would_succeed) await showDryRun(answer, context);
  return { sha256: digest };
}

/** @throws CliError when it cannot be read. */
async function digestOf(path: string, named: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CliError(
      `--program ${named} cannot be read: ${why}. Give a file, or the id of an image in Glance.`,
    );
  }
  return hash.digest('hex');
}
