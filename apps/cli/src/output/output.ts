/** Prints what a command found, in the format that was asked for. */
import { nearest } from '@cyborg/model/nearest';
import { printable } from '@cyborg/model/plain-text';

import { UsageError } from '../errors.ts';
import { cellText, readableText } from './cells.ts';

export const formats = ['table', 'json', 'yaml', 'csv', 'value'] as const;
export type Format = (typeof formats)[number];

/** A member of the item, or one with a text of its own for the table. */
export type Column<T> = (keyof T & string) | DerivedColumn<T>;
export interface DerivedColumn<T> {
  readonly key: keyof T & string;
  /** For people only: csv, value, json and yaml show the member itself. */
  readonly text?: (item: T) => string;
  /** Not in the table, unless `-c` names it; in csv and value, which scripts read, all the same. */
  readonly hidden?: true | ((items: readonly T[]) => boolean);
}

export interface OutputOptions {
  readonly format: Format;
  /** What `-c` named; empty = the command's own choice. */
  readonly columns: readonly string[];
  /** The act is done when its result is printed: a wrong `-c` must not make it look failed. */
  readonly isLenient: boolean;
  readonly write: (text: string) => void;
  readonly warn: (line: string) => void;
}

export interface Output {
  readonly format: Format;
  /** @param none what the table says when there is nothing. */
  list<T extends object>(
    items: readonly T[],
    columns: readonly Column<T>[],
    none: string,
  ): Promise<void>;
  /** One object; the table shows every member that `columns` does not hide, with the texts they have there. */
  show<T extends object>(item: T, columns?: readonly Column<T>[]): Promise<void>;
  /** One sentence for people; nothing in the formats that programs read. */
  say(sentence: string): void;
  /** Items as they come, each printed at once. */
  follow<T extends object>(items: AsyncIterable<T>, columns: readonly Column<T>[]): Promise<void>;
}

/** What stands for null. */
const noneIn = { table: '-', value: 'None', csv: '' } as const;

export function createOutput(options: OutputOptions): Output {
  const { format, write } = options;
  return {
    format,
    async list(items, columns, none) {
      const chosen = choose(items, columns, options);
      if (format === 'json') return write(toJson(items.map((item) => pick(item, options))));
      if (format === 'yaml') return write(await toYaml(items.map((item) => pick(item, options))));
      if (format === 'value') return write(toValueLines(items, chosen));
      const head = chosen.map(({ key }) => key);
      if (format === 'csv') return write(await toCsv(head, items, chosen));
      if (items.length === 0) return options.warn(none);
      write(await toTable(head, items, chosen));
    },
    async show(item, columns = []) {
      if (format === 'json') return write(toJson(pick(item, options)));
      if (format === 'yaml') return write(await toYaml(pick(item, options)));
      const chosen = choose([item], withTexts(item, columns), options);
      if (format === 'value') {
        return write(chosen.map(({ key }) => `${valueText(item[key])}\n`).join(''));
      }
      const head = chosen.map(({ key }) => key);
      if (format === 'csv') return write(await toCsv(head, [item], chosen));
      const { drawTable } = await import('./table.ts');
      const rows = chosen.map((column) => [column.key, tableText(item, column)]);
      write(drawTable(['field', 'value'], rows));
    },
    say(sentence) {
      if (format === 'table') write(`${printable(sentence)}\n`);
    },
    follow: (items, columns) => follow(items, columns, options),
  };
}

async function follow<T extends object>(
  items: AsyncIterable<T>,
  columns: readonly Column<T>[],
  options: OutputOptions,
): Promise<void> {
  const { format, write } = options;
  let isFirst = true;
  for await (const item of items) {
    const chosen = choose([item], columns, options);
    if (format === 'json') write(`${JSON.stringify(pick(item, options))}\n`);
    else if (format === 'yaml') write(`---\n${await toYaml(pick(item, options))}`);
    else if (format === 'csv') {
      const { drawCsv } = await import('./csv.ts');
      const lines = drawCsv(
        chosen.map(({ key }) => key),
        [chosen.map(({ key }) => cellText(item[key], noneIn.csv))],
      );
      write(isFirst ? lines : lines.slice(lines.indexOf('\n') + 1));
    } else {
      write(`${chosen.map((column) => printable(tableText(item, column))).join('  ')}\n`);
    }
    isFirst = false;
  }
}

function derived<T>(column: Column<T>): DerivedColumn<T> {
  return typeof column === 'string' ? { key: column } : column;
}

function isHidden<T>({ hidden }: DerivedColumn<T>, items: readonly T[]): boolean {
  return typeof hidden === 'function' ? hidden(items) : hidden === true;
}

/** The columns that `-c` names, in its order; without `-c` the command's. */
function choose<T extends object>(
  items: readonly T[],
  columns: readonly Column<T>[],
  { format, columns: wanted, isLenient, warn }: OutputOptions,
): readonly DerivedColumn<T>[] {
  const own = columns.map(derived);
  const isForPeople = format === 'table';
  if (wanted.length === 0) return own.filter((column) => !(isForPeople && isHidden(column, items)));
  const known = new Map(own.map((column) => [String(column.key), column]));
  for (const key of keysOf(items[0])) if (!known.has(key)) known.set(key, { key });
  const isUnknown = (name: string): boolean => items.length > 0 && !known.has(name);
  for (const name of wanted.filter(isUnknown))
    refuseColumn(name, [...known.keys()], { isLenient, warn });
  return wanted.flatMap((name) => known.get(name) ?? []);
}

function refuseColumn(
  name: string,
  names: readonly string[],
  { isLenient, warn }: Pick<OutputOptions, 'isLenient' | 'warn'>,
): void {
  const near = nearest(name, names);
  const hint = near.length === 0 ? '' : ` Nearest: ${near.join(', ')}.`;
  const message = `There is no column '${name}'.${hint} All: ${names.join(', ')}.`;
  if (!isLenient) throw new UsageError(message);
  warn(`warning: ${message}`);
}

function keysOf<T extends object>(item: T | undefined): (keyof T & string)[] {
  // The keys of a parsed JSON object are its own and are strings.
  return Object.keys(item ?? {}) as (keyof T & string)[];
}

/** Every member of the item, with what the command says about some of them. */
function withTexts<T extends object>(item: T, columns: readonly Column<T>[]): DerivedColumn<T>[] {
  const known = new Map(columns.map(derived).map((column) => [column.key, column]));
  return keysOf(item).map((key) => known.get(key) ?? { key });
}

function pick(item: object, options: OutputOptions): object {
  const { columns } = options;
  if (columns.length === 0) return item;
  choose([item], [], options);
  const members = new Map(Object.entries(item));
  return Object.fromEntries(
    columns.filter((name) => members.has(name)).map((name) => [name, members.get(name)]),
  );
}

function tableText<T extends object>(item: T, { key, text }: DerivedColumn<T>): string {
  return text === undefined ? readableText(item[key]) : text(item);
}

function valueText(value: unknown): string {
  return printable(cellText(value, noneIn.value));
}

function toValueLines<T extends object>(
  items: readonly T[],
  columns: readonly DerivedColumn<T>[],
): string {
  return items
    .map((item) => `${columns.map(({ key }) => valueText(item[key])).join(' ')}\n`)
    .join('');
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

async function toYaml(value: unknown): Promise<string> {
  const { drawYaml } = await import('./yaml.ts');
  return drawYaml(value);
}

async function toCsv<T extends object>(
  head: readonly string[],
  items: readonly T[],
  columns: readonly DerivedColumn<T>[],
): Promise<string> {
  const { drawCsv } = await import('./csv.ts');
  return drawCsv(
    head,
    items.map((item) => columns.map(({ key }) => cellText(item[key], noneIn.csv))),
  );
}

async function toTable<T extends object>(
  head: readonly string[],
  items: readonly T[],
  columns: readonly DerivedColumn<T>[],
): Promise<string> {
  const { drawTable } = await import('./table.ts');
  return drawTable(
    head,
    items.map((item) => columns.map((column) => tableText(item, column))),
  );
}
