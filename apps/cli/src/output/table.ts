import Table from 'cli-table3';

import { printable } from './cells.ts';

/** The plain frame that the openstack client draws: copies into mails and tickets as it is. */
const frame = {
  top: '-',
  'top-mid': '+',
  'top-left': '+',
  'top-right': '+',
  bottom: '-',
  'bottom-mid': '+',
  'bottom-left': '+',
  'bottom-right': '+',
  left: '|',
  'left-mid': '+',
  mid: '-',
  'mid-mid': '+',
  right: '|',
  'right-mid': '+',
  middle: '|',
} as const;

/** Rows under a head, nothing cut off; a line between head and rows only. */
export function drawTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    chars: frame,
    style: { head: [], border: [], compact: true },
    head: head.map(printable),
  });
  for (const row of rows) table.push(row.map(printable));
  return `${table.toString()}\n`;
}
