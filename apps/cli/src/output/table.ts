/**
 * The plain frame that the openstack client draws: copies into mails and tickets as it is. Our own, because
 * cli-table3 takes 10 s for 10,000 rows (its time grows with the square).
 */
import { printable } from '@cyborg/model/plain-text';
import stringWidth from 'string-width';

/** Rows under a head, nothing cut off; a cell may have several lines. */
export function drawTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const headLines = head.map(toLines);
  const rowLines = rows.map((row) => row.map(toLines));
  const widths = columnWidths([headLines, ...rowLines]);
  const border = `+${widths.map((width) => '-'.repeat(width + 2)).join('+')}+\n`;
  const body = rowLines.map((row) => drawRow(row, widths)).join('');
  return `${border}${drawRow(headLines, widths)}${border}${body}${border}`;
}

type Lines = readonly string[];

function toLines(text: string): Lines {
  return printable(text).replaceAll('\t', ' ').split('\n');
}

/** Not Math.max(...all): a spread of 100,000 rows is too many arguments. */
function columnWidths(rows: readonly (readonly Lines[])[]): number[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, lines] of row.entries()) {
      for (const line of lines) widths[column] = Math.max(widths[column] ?? 0, widthOf(line));
    }
  }
  return widths;
}

function drawRow(row: readonly Lines[], widths: readonly number[]): string {
  const height = Math.max(...row.map((lines) => lines.length));
  let text = '';
  for (let line = 0; line < height; line += 1) {
    const cells = widths.map((width, column) => pad(row[column]?.[line] ?? '', width));
    text += `| ${cells.join(' | ')} |\n`;
  }
  return text;
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(width - widthOf(text));
}

const plain = /^[ -~]*$/;

/** Columns on a terminal: East Asian characters take two, combining ones none. */
function widthOf(text: string): number {
  return plain.test(text) ? text.length : stringWidth(text);
}
