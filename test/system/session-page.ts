/** A page whose `console` blocks are a session: commands after `$ `, each followed by what it prints. */
export interface Step {
  readonly command: string;
  readonly expected: readonly string[];
}

/** @throws when a fenced block is no session: it would not be tried. */
export function readSession(markdown: string): Step[] {
  return [...markdown.matchAll(/^```(\w*)\n([^]*?)^```$/gm)].flatMap(([, language, body = '']) => {
    if (language !== 'console') throw new Error(`A block of ${language} is not tried:\n${body}`);
    return readBlock(body.trimEnd().split('\n'));
  });
}

function readBlock(lines: readonly string[]): Step[] {
  const steps: { command: string; expected: string[] }[] = [];
  for (const line of lines) {
    if (line.startsWith('$ ')) steps.push({ command: line.slice(2), expected: [] });
    else steps.at(-1)?.expected.push(line);
  }
  if (steps.length === 0) throw new Error(`A block has no command:\n${lines.join('\n')}`);
  return steps;
}

const anything = '[…]';
const anyRow = `| ${anything}`;

/**
 * Whether the output is as the page shows it: ids, times, the width of columns and line breaks may differ, `[…]` stands for
 * anything, rows of a table come in any order, progress does not count.
 *
 * @param options  `hasMoreRows`: tables may have rows that the page does not show.
 * @returns undefined, or both as they were compared.
 */
export function differenceFrom(
  expected: readonly string[],
  output: string,
  { hasMoreRows = false }: { readonly hasMoreRows?: boolean } = {},
): string | undefined {
  const page = sorted(expected);
  const actual = sorted(output.split('\n'));
  const isOpen = hasMoreRows || expected.some((line) => line === anything || line === anyRow);
  const isSame = toPattern(page.others).test(actual.others);
  const left = [...actual.rows];
  const missing = page.rows.filter((row) => !takeRow(left, row));
  if (isSame && missing.length === 0 && (isOpen || left.length === 0)) return undefined;
  return `the page:\n${expected.join('\n')}\nwhat came:\n${output}`;
}

function takeRow(rows: string[], row: string): boolean {
  const at = rows.findIndex((candidate) => toPattern(row).test(candidate));
  if (at !== -1) rows.splice(at, 1);
  return at !== -1;
}

function sorted(lines: readonly string[]): { rows: string[]; others: string } {
  const plain = lines
    .filter((line) => line !== anyRow && !isProgress.test(line))
    .map(withoutAccidents);
  const others = plain.filter((line) => !line.startsWith('|'));
  return {
    rows: plain.filter((line) => line.startsWith('|')),
    others: others.join(' ').replaceAll(/ +/g, ' ').trim(),
  };
}

const isProgress = /^[a-z-]+ [0-9a-f-]{36}: [a-z ]+, \d+ of \d+ done/;

function withoutAccidents(line: string): string {
  return line
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'ID')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replaceAll(/ +/g, ' ')
    .replaceAll(/-{3,}/g, '---')
    .trim();
}

function toPattern(text: string): RegExp {
  const parts = text.split(anything).map((part) => RegExp.escape(part.trim()));
  return new RegExp(`^${parts.join('.*')}$`);
}
