import { describe, expect, it } from 'vitest';

import { createOutput, type Format, type Output } from './output.ts';

interface Item {
  readonly id: string;
  readonly note: string | null;
  readonly traits: readonly string[];
  readonly more: Readonly<Record<string, unknown>>;
}
const items: readonly Item[] = [
  { id: 'a', note: 'no', traits: ['X', 'Y'], more: { on: true } },
  { id: 'b,"c', note: null, traits: [], more: {} },
];

function capture(
  format: Format,
  more: { columns?: readonly string[]; isLenient?: boolean } = {},
): { out: Output; text: () => string; warnings: string[] } {
  let written = '';
  const warnings: string[] = [];
  const out = createOutput({
    format,
    columns: more.columns ?? [],
    isLenient: more.isLenient ?? false,
    write: (text) => (written += text),
    warn: (line) => warnings.push(line),
  });
  return { out, text: () => written, warnings };
}

const listAs = async (format: Format, columns: readonly string[] = []): Promise<string> => {
  const { out, text } = capture(format, { columns });
  await out.list(
    items,
    ['id', 'note', { key: 'traits', text: (it) => it.traits.join('+') }],
    'No.',
  );
  return text();
};

describe('a list', () => {
  it('is a table for people, with texts of its own', async () => {
    expect(await listAs('table')).toBe(
      [
        '+------+------+--------+',
        '| id   | note | traits |',
        '+------+------+--------+',
        '| a    | no   | X+Y    |',
        '| b,"c | -    |        |',
        '+------+------+--------+',
        '',
      ].join('\n'),
    );
  });

  it('is the whole objects in json, and only the chosen members with -c', async () => {
    expect(JSON.parse(await listAs('json'))).toEqual(items);
    expect(JSON.parse(await listAs('json', ['note']))).toEqual([{ note: 'no' }, { note: null }]);
  });

  it('quotes what YAML 1.1 would read as something else', async () => {
    expect(await listAs('yaml', ['note'])).toBe('- note: "no"\n- note: null\n');
  });

  it('is csv with quoting, and value with one line an item', async () => {
    expect(await listAs('csv')).toBe('id,note,traits\na,no,"X, Y"\n"b,""c",,\n');
    expect(await listAs('value')).toBe('a no X, Y\nb,"c None \n');
    expect(await listAs('value', ['more'])).toBe('{"on":true}\n{}\n');
  });

  it('keeps stdout empty and says so when a table has no rows; json is an empty array', async () => {
    const table = capture('table');
    await table.out.list<Item>([], ['id'], 'No things.');
    expect([table.text(), table.warnings]).toEqual(['', ['No things.']]);
    const json = capture('json', { columns: ['id'] });
    await json.out.list<Item>([], ['id'], 'No things.');
    expect(json.text()).toBe('[]\n');
  });

  it('refuses an unknown column, but only warns when the act is done', async () => {
    await expect(listAs('json', ['nte'])).rejects.toThrow("no column 'nte'. Nearest: note");
    const { out, text, warnings } = capture('json', { columns: ['id', 'nte'], isLenient: true });
    await out.show(items[0] ?? {});
    expect(JSON.parse(text())).toEqual({ id: 'a' });
    expect(warnings[0]).toContain("no column 'nte'");
  });

  it('lets no control characters through to a terminal', async () => {
    const { out, text } = capture('table');
    await out.list([{ id: 'a\u001b[31m\u202Eb' }], ['id'], '');
    expect(text()).toContain('a\uFFFD[31m\uFFFDb');
  });
});

describe('a table', () => {
  it('lines up wide characters, and cells of several lines', async () => {
    const { out, text } = capture('table');
    await out.list([{ id: '日本', note: 'a\nb' }], ['id', 'note'], '');
    expect(text().split('\n').slice(3, 5)).toEqual(['| 日本 | a    |', '|      | b    |']);
  });

  it('of 50,000 rows is drawn in a moment', async () => {
    const { out, text } = capture('table');
    const many = Array.from({ length: 50_000 }, (_, at) => ({ id: `accelerator-${at}` }));
    const beganMs = performance.now();
    await out.list(many, ['id'], '');
    expect(text().split('\n')).toHaveLength(50_005);
    expect(performance.now() - beganMs).toBeLessThan(5_000);
  });
});

describe('one object', () => {
  it('is a table of its members, one value a line, or one object', async () => {
    const table = capture('table');
    await table.out.show(items[0] ?? {});
    expect(table.text()).toContain('| more   | on=true |');
    const value = capture('value', { columns: ['note', 'id'] });
    await value.out.show(items[0] ?? {});
    expect(value.text()).toBe('no\na\n');
    const json = capture('json');
    await json.out.show(items[0] ?? {});
    expect(JSON.parse(json.text())).toEqual(items[0]);
  });
});
