import { catalogue, groups } from './catalogue.ts';

/** What `cyborg --help` prints; loads no command. */
export function overview(): string {
  const names = Object.keys(catalogue);
  const width = Math.max(...names.map((name) => name.length));
  const sections = groups.map((group) => {
    const lines = Object.entries(catalogue)
      .filter(([, entry]) => entry.group === group)
      .map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
    return `${group}:\n${lines.join('\n')}`;
  });
  return `Usage: cyborg COMMAND [ARGUMENT]... [OPTION]...

The accelerator control plane: drivers, accelerators and the instances that hold them.

${sections.join('\n\n')}

'cyborg COMMAND --help' tells what a command takes, with examples.
Every command takes -f table|json|yaml|csv|value and -c COLUMN.
Exit status: 0 done, 1 refused or failed, 2 wrong usage.
`;
}
