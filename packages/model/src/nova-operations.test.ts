import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, it } from 'vitest';

import {
  goneStatuses,
  novaOperations,
  wayToAttach,
  type NovaOperation,
} from './nova-operations.ts';

const file = join(import.meta.dirname, '../../../docs/reference/nova-operations.md');
const between = /(<!-- operations: .* -->\n)[^]*?(<!-- end -->)/;

const titles = ['Operation', 'Status', 'Attach', 'Bound at boot', 'Attached', ''] as const;

function attach({ status }: NovaOperation): string {
  if (status === null) return 'as before';
  return wayToAttach(status) === undefined ? 'yes' : 'no';
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`.replaceAll('|  |', '| |');
}

function table(): string {
  const rows = novaOperations.map((one) =>
    line([one.name, one.status ?? 'as before', attach(one), one.nova, one.cyborg, one.note ?? '']),
  );
  return [line(titles), line(titles.map(() => '---')), ...rows].join('\n');
}

describe("the table of Nova's operations", () => {
  it('is in the reference (CYBORG_WRITE_DOCS=1 writes it there)', ({ expect }) => {
    const text = readFileSync(file, 'utf8');
    const wanted = text.replace(between, `$1\n${table()}\n\n$2`);
    if (process.env['CYBORG_WRITE_DOCS'] === '1') writeFileSync(file, wanted);
    expect(between.test(text)).toBe(true);
    expect(readFileSync(file, 'utf8')).toBe(wanted);
  });

  it('has a way out of every status in which nothing can be attached', ({ expect }) => {
    const statuses = novaOperations.flatMap(({ status }) => status ?? []);
    const without = statuses.filter(
      (status) =>
        wayToAttach(status) === 'wait until it is ACTIVE' && !goneStatuses.includes(status),
    );
    expect(without).toEqual([]);
    expect(goneStatuses).toEqual(['DELETED']);
    expect(wayToAttach('A_NEW_STATUS')).toBe('wait until it is ACTIVE');
  });
});
