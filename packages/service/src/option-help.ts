import { toFileKey, toFlag, toVariable } from './option-schema.ts';
import type { OptionSchema, OptionSpec, Program } from './option-schema.ts';

const helpColumns = 100;
const helpIndent = 6;

/** What `--help` prints. */
export function helpText<Schema extends OptionSchema>(program: Program<Schema>): string {
  const { name, summary, environmentPrefix, options } = program;
  const entries = Object.entries(options).map(([key, spec]) =>
    spec.noFlag === true
      ? helpEntry(`${environmentPrefix}${toVariable(key)}`, sentence(spec))
      : helpEntry(usage(key, spec), `${sentence(spec)} [${environmentPrefix}${toVariable(key)}]`),
  );
  return [
    `Usage: ${name} [OPTION]...`,
    summary,
    '',
    'Options (flag before environment variable before configuration file before default):',
    ...entries,
    helpEntry('--config FILE', `Read options from this YAML file. [${environmentPrefix}CONFIG]`),
    helpEntry('--version', 'Print the version.'),
    helpEntry('--help', 'Print this.'),
    '',
  ].join('\n');
}

/** A table for docs/reference/configuration.md. */
export function optionsMarkdown<Schema extends OptionSchema>(program: Program<Schema>): string {
  const rows = Object.entries(program.options).map(([key, spec]) => [
    spec.noFlag === true ? 'none' : `\`${toFlag(key)}\``,
    `\`${program.environmentPrefix}${toVariable(key)}\``,
    `\`${toFileKey(key)}\``,
    typeText(spec),
    defaultText(spec),
    `${capitalize(spec.help)}.`,
  ]);
  const head = ['Flag', 'Environment', 'File', 'Type', 'Default', 'What'];
  return [head, head.map(() => '---'), ...rows].map(toRow).join('\n').concat('\n');
}

function toRow(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', String.raw`\|`)).join(' | ')} |`;
}

function usage(key: string, spec: OptionSpec): string {
  const flag = toFlag(key);
  if (spec.type === 'boolean') return `${flag}, --no-${flag.slice(2)}`;
  return `${flag} ${spec.placeholder ?? placeholderOf(spec)}`;
}

function placeholderOf(spec: OptionSpec): string {
  return spec.type === 'enum' ? spec.values.join('|') : spec.type.toUpperCase();
}

function sentence(spec: OptionSpec): string {
  const parts = [typeDetail(spec), defaultDetail(spec)].filter((part) => part !== '');
  return `${capitalize(spec.help)}${parts.length > 0 ? ` (${parts.join('; ')})` : ''}.`;
}

function typeDetail(spec: OptionSpec): string {
  if (spec.type === 'integer') return `${spec.min} to ${spec.max}`;
  if (spec.type === 'duration') return `${spec.min} to ${spec.max} seconds`;
  return spec.type === 'list' ? 'may be repeated' : '';
}

function typeText(spec: OptionSpec): string {
  if (spec.type === 'enum') return spec.values.map((value) => `\`${value}\``).join(', ');
  const detail = typeDetail(spec);
  return detail === '' ? spec.type : `${spec.type}, ${detail}`;
}

function defaultDetail(spec: OptionSpec): string {
  if (spec.required === true) return 'required';
  const text = spec.default === undefined ? '' : showDefault(spec);
  return text === '' ? '' : `default ${text}`;
}

function defaultText(spec: OptionSpec): string {
  if (spec.required === true) return 'required';
  const text = spec.default === undefined ? '' : showDefault(spec);
  return text === '' ? 'none' : `\`${text}\``;
}

function showDefault(spec: OptionSpec): string {
  if (spec.secret === true) return '(hidden)';
  return [spec.default].flat().join(', ');
}

function helpEntry(usageText: string, text: string): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && helpIndent + line.length + 1 + word.length > helpColumns) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [`  ${usageText}`, ...[...lines, line].map((each) => ' '.repeat(helpIndent) + each)].join(
    '\n',
  );
}

function capitalize(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
