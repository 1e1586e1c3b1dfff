/** docs/reference/cli.md, from the commands themselves. */
import { catalogue, groups, type Entry } from '../../apps/cli/src/catalogue.ts';
import type { Arg, Command, Flag } from '../../apps/cli/src/command.ts';
import { toFlag } from '../../apps/cli/src/field-words.ts';
import { programsMarkdown } from './programs.ts';
import { inCell } from './type-text.ts';

const head = `# The command line

<!-- Generated from apps/cli/src by tools/reference; npm run generate writes it, a test compares. -->

\`cyborg COMMAND --help\` says the same. In a checkout it is \`bin/cyborg\`.

| every command takes | |
|---|---|
| \`-f\`, \`--format FORMAT\` | \`table\` (default), \`json\`, \`yaml\`, \`csv\`, \`value\` |
| \`-c\`, \`--column COLUMN\` | only this column or field; may be repeated |
| \`--url URL\` | the server (\`CYBORG_URL\`) |
| \`--user NAME\`, \`--password PASSWORD\` | who you are (\`CYBORG_USER\`, \`CYBORG_PASSWORD\`, which other users do not see) |
| \`--os-cloud NAME\` | a cloud of \`clouds.yaml\` (\`OS_CLOUD\`) |

Unless told so, it connects as \`CYBORG_CONFIG=FILE\` says, then as \`OS_*\` variables and \`clouds.yaml\` do
([signing in with Keystone](../how-to/sign-in-with-keystone.md)), then as the file that \`npm start\` wrote.

Exit status: 0 done, 1 refused or failed (one line on stderr says what, and what to do), 2 wrong usage. A lost connection is
tried again for 10 s, with the same idempotency key: nothing is done twice.

What changes something takes \`--dry-run\`, which tells what would happen. What takes its time waits for the end and
prints progress; \`--no-wait\` prints the operation, and \`operation-show --wait\` waits later.
`;

export async function cliMarkdown(): Promise<string> {
  const index = groups.map((group) => `| ${group} | ${namesOf(group).map(link).join(', ')} |`);
  const others =
    '| Other programs | [cyborg-server, cyborg-agent, cyborg-inspect](#other-programs) |';
  const table = ['| group | commands |', '|---|---|', ...index, others].join('\n');
  const sections: string[] = [];
  for (const group of groups) {
    sections.push(`## ${group}`);
    for (const [name, entry] of entriesOf(group)) {
      sections.push(commandText(name, { entry, command: await entry.load() }));
    }
  }
  return `${[head.trimEnd(), table, ...sections, programsMarkdown()].join('\n\n')}\n`;
}

function entriesOf(group: Entry['group']): [string, Entry][] {
  return Object.entries(catalogue).filter(([, entry]) => entry.group === group);
}

const namesOf = (group: Entry['group']): string[] => entriesOf(group).map(([name]) => name);
const link = (name: string): string => `[${name}](#${name})`;

function commandText(
  name: string,
  { entry, command }: { readonly entry: Entry; readonly command: Command },
): string {
  const { args, flags, examples, isLocal } = command;
  const words = Object.entries(args).map(([arg, { optional }]) =>
    optional === true ? `[${arg}]` : `<${arg}>`,
  );
  const usage = ['cyborg', name, ...words, ...(Object.keys(flags).length > 0 ? ['[options]'] : [])];
  const rows = [...Object.entries(args).map(argRow), ...Object.entries(flags).flatMap(flagRows)];
  const table = rows.length === 0 ? [] : [['| | |', '|---|---|', ...rows].join('\n')];
  const shown = examples.map((one) => `    $ ${one.command}\n      # ${one.help}`);
  const where = isLocal === true ? ' Asks no server.' : '';
  return [
    `### ${name}`,
    `${entry.summary}.${where}`,
    `    ${usage.join(' ')}`,
    ...table,
    'Examples:',
    ...shown,
  ].join('\n\n');
}

function argRow([name, { help, optional }]: [string, Arg]): string {
  return `| \`${optional === true ? `[${name}]` : `<${name}>`}\` | ${inCell(help)} |`;
}

function flagRows([name, flag]: [string, Flag]): string[] {
  const long = toFlag(name).slice(2);
  const row = (option: string, help: string): string => `| \`${option}\` | ${inCell(help)} |`;
  switch (flag.type) {
    case 'boolean':
      return [row(`--${long}`, flag.help)];
    case 'negated':
      return [row(`--no-${long}`, flag.help)];
    case 'strings':
      return [row(`--${long} ${flag.placeholder}`, `${flag.help}; may be repeated`)];
    case 'integer':
      return [row(`--${long} ${flag.placeholder}`, `${flag.help} (${flag.min} to ${flag.max})`)];
    case 'string': {
      const choices = flag.choices === undefined ? '' : ` (${flag.choices.join(', ')})`;
      const set = row(`--${long} ${flag.placeholder}`, `${flag.help}${choices}`);
      return flag.nullable === undefined ? [set] : [set, row(`--no-${long}`, flag.nullable)];
    }
    default:
      return flag;
  }
}
