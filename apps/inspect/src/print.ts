/** The findings for people and for programs. */
import { printable } from '@cyborg/model/plain-text';

import type { Finding, Word } from './compare.ts';
import { isUnknown } from './says.ts';

export function toJsonText(findings: readonly Finding[]): string {
  const rows = findings.map(({ store, agent, host, ...row }) => ({
    ...row,
    store: store ?? null,
    agent: agent ?? null,
    host: host ?? null,
  }));
  return `${JSON.stringify(rows, null, 2)}\n`;
}

const heads = ['VERDICT', 'SUBJECT', 'FIELD', 'STORE', 'AGENT', 'HOST'];

export function toTable(findings: readonly Finding[]): string {
  const reasons: string[] = [];
  const cell = (word: Word): string => {
    if (word === undefined) return '-';
    if (!isUnknown(word)) return word;
    if (!reasons.includes(word.unknown)) reasons.push(word.unknown);
    return `?${reasons.indexOf(word.unknown) + 1}`;
  };
  const rows = [
    heads,
    ...findings.map(({ verdict, subject, field, store, agent, host }) =>
      [verdict, subject, field, cell(store), cell(agent), cell(host)].map(printable),
    ),
  ];
  const widths = heads.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((text, at) => text.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const notes = reasons.map((reason, at) => `?${at + 1}  unknown: ${printable(reason)}`);
  return [...lines, ...(notes.length === 0 ? [] : ['', ...notes]), ''].join('\n');
}
