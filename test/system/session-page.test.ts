import { describe, it } from 'vitest';

import { differenceFrom, readSession } from './session-page.ts';

const table = ['+----+', '| a  |', '| b  |', '+----+'];

describe('a page with a session', () => {
  it('is read as commands with what they print', ({ expect }) => {
    const page = 'x\n```console\n$ one\nout\n$ two --x\n```\ny\n';
    expect(readSession(page)).toEqual([
      { command: 'one', expected: ['out'] },
      { command: 'two --x', expected: [] },
    ]);
    expect(() => readSession('```sh\nls\n```\n')).toThrow('A block of sh is not tried');
  });

  it.for([
    [table, '+------+\n| b    |\n| a    |\n+------+\n', true],
    [table, '+------+\n| b    |\n| c    |\n+------+\n', false],
    [table, '+---+\n| a |\n| b |\n| c |\n+---+\n', false],
    [['| a |', '| […]'], '| c |\n| a |\n', true],
    [['[…]', 'Ready.', '[…]'], 'begun\nReady.\nnext\n', true],
    [['[…]', 'Ready.', '[…]'], 'begun\nnext\n', false],
    [['cyborg: no […].'], 'cyborg: no 8fe851a5-00ea-4465-80f4-e5f9002cd774.\n', true],
    [
      ['held by 8fe851a5-00ea-4465-80f4-e5f9002cd774'],
      'held by a9d5adc6-0000-4465-80f4-e5f9002cd774',
      true,
    ],
    [[''], '', true],
    [[''], 'something\n', false],
    [['begun', 'a long line'], 'begun a\nlong line\n', true],
    [
      ['x'],
      'attach-instance 8fe851a5-00ea-4465-80f4-e5f9002cd774: running, 0 of 1 done\nx\n',
      true,
    ],
    [['at 2026-01-01T00:00:00.000Z'], 'at 2027-11-23T01:32:21.190Z', true],
  ] as const)('%j is what %j shows: %j', ([expected, output, isSame], { expect }) => {
    expect(differenceFrom(expected, output) === undefined).toBe(isSame);
  });

  it('may show a part of a table', ({ expect }) => {
    const output = '+---+\n| a |\n| b |\n| c |\n+---+\n';
    expect(differenceFrom(table, output, { hasMoreRows: true })).toBe(undefined);
    expect(differenceFrom([...table, '| d |'], output, { hasMoreRows: true })).toBeDefined();
  });
});
