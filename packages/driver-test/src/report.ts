/** The report for people. */
import type { ClauseReport, Outcome, Report } from './run.ts';
import { warningOf } from './unseen.ts';

const marks = {
  passed: 'ok  ',
  failed: 'FAIL',
  untested: '  – ',
  'not-run': '  ? ',
} as const satisfies Record<Outcome, string>;

/** `ok   D-PREP-2    \`prepare\` may be repeated …` and, below it, why. */
export function lineOf({ clause, text, outcome, detail }: ClauseReport): string {
  const line = `${marks[outcome]} ${clause.padEnd(10)} ${text}`;
  return detail === null
    ? line
    : `${line}\n                → ${detail.replaceAll('\n', '\n                  ')}`;
}

/** `driver generic 0.1.0: 45 clauses hold, 1 broken (D-PREP-2), 4 not tested, 2 not run, in 9 s` */
export function summaryOf({
  driver,
  clauses,
  duration_ms: ms,
  passed,
  left_out: leftOut,
}: Report): string {
  const of = (outcome: Outcome): ClauseReport[] => clauses.filter((one) => one.outcome === outcome);
  const failed = of('failed');
  const names = failed.map(({ clause }) => clause).join(', ');
  const parts = [
    `${of('passed').length} clauses hold`,
    failed.length === 0 ? 'none broken' : `${failed.length} broken (${names})`,
    `${of('untested').length} do not apply`,
    ...(of('not-run').length === 0 ? [] : [`${of('not-run').length} not run`]),
  ];
  const verdict = passed ? 'conforms' : 'does not conform';
  const seconds = Math.round(ms / 1000);
  return `driver ${driver.id} ${driver.version} ${verdict}: ${parts.join(', ')}; ${seconds} s${warningOf(leftOut)}`;
}

export function textOf(report: Report): string {
  const left = report.left_out.map((kind) => `not tried: kind ${kind}`);
  return [
    `backends: ${report.backends.join(', ') || 'none'}; seed ${report.seed}`,
    ...left,
    ...report.clauses.map(lineOf),
    summaryOf(report),
  ].join('\n');
}
