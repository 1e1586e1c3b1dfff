/** What the other programs say of themselves; the options of server and agent have pages of their own. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

const asked = [
  { program: 'cyborg-server', module: 'apps/server/src/main.ts', command: 'user-set' },
  { program: 'cyborg-server', module: 'apps/server/src/main.ts', command: 'new-incarnation' },
  { program: 'cyborg-agent', module: 'apps/agent/src/main.ts', command: 'discover' },
  { program: 'cyborg-agent', module: 'apps/agent/src/main.ts', command: 'look' },
  { program: 'cyborg-inspect', module: 'apps/inspect/src/main.ts', command: undefined },
] as const;

export function programsMarkdown(): string {
  const sections = asked.map(({ program, module, command }) => {
    const name = command === undefined ? program : `${program} ${command}`;
    const args = [join(root, module), ...(command === undefined ? [] : [command]), '--help'];
    const help = execFileSync(process.execPath, args, { encoding: 'utf8', env: {} });
    return `### ${name}\n\n\`\`\`text\n${help.trim()}\n\`\`\``;
  });
  return [
    '## Other programs',
    'What runs is `cyborg-server` ([its options](configuration.md)) and `cyborg-agent` ([its options](agent-configuration.md)).',
    ...sections,
  ].join('\n\n');
}
