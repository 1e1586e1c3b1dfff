/** What `cyborg driver-test` does, from a path to an exit status. */
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { readPackage, type DriverPackage } from '@cyborg/driver-host/catalogue';
import type { BackendSpec } from '@cyborg/driver-sdk/protocol';
import { systemClock } from '@cyborg/service/clock';
import { messageOf } from '@cyborg/service/node-error';
import { clauses, type ClauseId } from './clauses.ts';
import { noJournal, openJournal, readJournal } from './journal.ts';
import { replay, type ReplayReport } from './replay.ts';
import { summaryOf, textOf } from './report.ts';
import { runTrials, type Report } from './run.ts';
import { parseBackend } from './subject.ts';

export interface DriverTestOptions {
  /** A folder with a driver's package.json, or the name of an installed package. */
  readonly target: string;
  /** Of the package that the folder was unpacked from, for the report. */
  readonly digest?: string | undefined;
  readonly workingDirectory: string;
  readonly backends?: string | undefined;
  readonly tree?: string | undefined;
  /** A program image that its cards take. */
  readonly image?: string | undefined;
  /** Ids of clauses; empty = all. */
  readonly clauses?: readonly string[] | undefined;
  readonly report?: string | undefined;
  readonly record?: string | undefined;
  readonly replay?: string | undefined;
  readonly callMs?: number | undefined;
  /** What random trials start from. */
  readonly seed: number;
}

export interface DriverTestResult {
  /** Whether the driver conforms, or answered as it did when it was recorded. */
  readonly passed: boolean;
  /** All of it, for people. */
  readonly text: string;
  /** The last line of it. */
  readonly summary: string;
  /** For programs: clauses, or what differs from the recording. */
  readonly rows: readonly ResultRow[];
}

export interface ResultRow {
  readonly clause: string;
  readonly outcome: string;
  readonly detail: string | null;
}

/** @throws Error when it cannot be tried: no package, a file that cannot be read or written. */
export async function driverTest(options: DriverTestOptions): Promise<DriverTestResult> {
  const pkg = await findPackage(options.target, options.workingDirectory);
  return options.replay === undefined
    ? await tryAll(pkg, options)
    : await sayAgain(pkg, options, options.replay);
}

async function tryAll(pkg: DriverPackage, options: DriverTestOptions): Promise<DriverTestResult> {
  const { digest, record, seed, callMs, tree, image } = options;
  const backends = readBackends(options.backends);
  const only = options.clauses?.map(toClauseId);
  const driver = { id: pkg.id, version: pkg.version };
  const head = { cyborg_driver_conversation: 1, driver } as const;
  const journal = record === undefined ? noJournal : openJournal(record, head, systemClock);
  let report: Report;
  try {
    report = await runTrials({
      pkg,
      digest,
      clock: systemClock,
      journal,
      seed,
      callMs,
      tree,
      image,
      backends,
      only,
    });
  } finally {
    journal.close();
  }
  writeReport(options.report, report);
  const { passed, clauses: rows } = report;
  return { passed, text: textOf(report), summary: summaryOf(report), rows };
}

async function sayAgain(
  pkg: DriverPackage,
  { callMs, tree, image, report }: DriverTestOptions,
  file: string,
): Promise<DriverTestResult> {
  const { lines } = readJournal(file);
  const result = await replay({ pkg, clock: systemClock, lines, callMs, tree, image });
  const { answers, differing, differences, notes, violations } = result;
  writeReport(report, result);
  const rowsOfThem = differences.map((detail) => ({ clause: '-', outcome: 'differs', detail }));
  const breaking = violations.map((one) => ({ ...one, outcome: 'failed' }));
  const rows = [...rowsOfThem, ...breaking];
  const verdict = differing === 0 ? 'all as recorded' : `${differing} differ`;
  const summary = `driver ${pkg.id} ${pkg.version}, replayed: ${answers} answers, ${verdict}`;
  const told = rows.map(({ clause, outcome, detail }) => `${outcome} ${clause} ${detail}`);
  const noted = notes.map((note) => `note: ${note}`);
  return {
    passed: rows.length === 0,
    text: [...told, ...noted, summary].join('\n'),
    summary,
    rows,
  };
}

function writeReport(file: string | undefined, report: Report | ReplayReport): void {
  if (file !== undefined) writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
}

/** @throws Error that says where it was looked for. */
async function findPackage(target: string, from: string): Promise<DriverPackage> {
  const installed = foldersAbove(from).map((at) => join(at, 'node_modules', target));
  const places = [resolve(from, target), ...installed];
  const folder = places.find((place) => existsSync(join(place, 'package.json')));
  if (folder === undefined) {
    throw new Error(
      `There is no driver package at ${target}: neither a folder with a package.json nor a package in a node_modules above ${from}.`,
    );
  }
  try {
    return await readPackage(realpathSync(folder));
  } catch (error) {
    throw new Error(`${folder} is no driver package: ${messageOf(error)}.`, { cause: error });
  }
}

/** @throws Error naming the clauses there are. */
function toClauseId(text: string): ClauseId {
  if (isClauseId(text)) return text;
  const known = Object.keys(clauses).join(', ');
  throw new Error(`There is no clause ${JSON.stringify(text)}; the clauses are ${known}.`);
}

function isClauseId(text: string): text is ClauseId {
  return Object.hasOwn(clauses, text);
}

function foldersAbove(from: string): string[] {
  const above = dirname(from);
  return above === from ? [from] : [from, ...foldersAbove(above)];
}

function readBackends(file: string | undefined): BackendSpec[] | undefined {
  if (file === undefined) return undefined;
  const list: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (!Array.isArray(list) || list.length === 0) {
    throw new Error(`${file} is not a list of backends: [{"name": …, "kind": …, "config": {…}}]`);
  }
  return list.map((one, index) => parseBackend(one, index));
}
