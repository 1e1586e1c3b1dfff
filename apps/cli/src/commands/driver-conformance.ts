/** The report of `driver-test` about a package: read, given to the server, shown. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import type { V3Args, V3Result } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import { CliError } from '../errors.ts';
import type { Io } from '../io.ts';
import { actArgs, dryRunFlag, showChanged } from '../operations/act.ts';
import type { Column } from '../output/output.ts';

export type ConformanceReport = V3Args<'putConformanceReport'>['body'];
type Version = V3Result<'showDriver'>['versions'][number];

/** As much as a message here needs; the server checks the rest. @throws CliError */
export async function readReport(
  { workingDirectory }: Pick<Io, 'workingDirectory'>,
  file: string,
): Promise<ConformanceReport> {
  const content = parseJson(
    await readFile(resolve(workingDirectory, file), 'utf8').catch((error: unknown) => {
      throw new CliError(`${file} cannot be read: ${messageOf(error)}`);
    }),
  );
  if (isReport(content)) return content;
  throw new CliError(`${file} is no report: ${wayOut}.`);
}

const wayOut = '`cyborg driver-test PACKAGE.tgz --report FILE` writes one';

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isReport(content: unknown): content is ConformanceReport {
  return typeof content === 'object' && content !== null && 'cyborg_driver_report' in content;
}

/** Before anything is uploaded. @throws CliError */
export function checkTried(
  report: ConformanceReport,
  { file, digest }: { readonly file: string; readonly digest: string },
): void {
  const tried = report.package?.digest;
  if (tried === digest) return;
  const what = tried === undefined ? 'a folder' : `a package with the digest ${tried}`;
  throw new CliError(
    `The report is about ${what}, not about ${file} (${digest}): run \`cyborg driver-test ${file} --report FILE\` and give that report.`,
  );
}

export const driverConformance = defineCommand({
  changes: true,
  args: {
    driver_id: { help: 'id of the driver' },
    version: { help: 'the version' },
    report: { help: 'what `cyborg driver-test PACKAGE.tgz --report FILE` wrote' },
  },
  flags: { dryRun: dryRunFlag },
  examples: [
    {
      command: 'cyborg driver-conformance acme 1.0.0 report.json',
      help: 'refused unless it is about the package that was uploaded',
    },
  ],
  async run({ args, flags }, context) {
    const { driver_id, version } = args;
    const answer = await context.api.putConformanceReport({
      params: { driver_id, version },
      body: await readReport(context.io, args.report),
      ...actArgs(context, flags.dryRun),
    });
    await showChanged(answer, context, [conformanceColumn]);
  },
});

export const conformanceColumn: Column<Version> = {
  key: 'conformance',
  text: (version) => conformanceText(version),
};

/** For people; says whose word it is. */
export function conformanceText({ builtin, conformance }: Version): string {
  if (conformance === null) return builtin ? '-' : 'no conformance report';
  const { passed, kit_version: kit, duration_ms: ms, failures, left_out: leftOut } = conformance;
  const counts = [
    `${conformance.clauses_passed} clauses hold`,
    `${conformance.clauses_failed} broken`,
    `${conformance.clauses_untested} do not apply`,
    `${conformance.clauses_not_run} not run`,
  ].join(', ');
  const who = conformance.uploaded_by ?? 'somebody';
  return [
    `${passed ? 'conforms' : 'does not conform'}: ${counts}; kit ${kit}, ${Math.round(ms / 1000)} s`,
    ...failures.map(({ clause, text, reason }) => `${clause} ${text} → ${reason ?? 'no reason'}`),
    ...leftOut.map((kind) => `not tried: kind ${kind}`),
    `says ${who} (${conformance.uploaded_at}); this server has not tried it`,
  ].join('\n');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
