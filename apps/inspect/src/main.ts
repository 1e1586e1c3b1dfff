/** cyborg-inspect: quotes the store, an agent and its host, and says where they differ. Reads only. */
import { hostname } from 'node:os';
import process from 'node:process';
import { parseArgs } from 'node:util';

import { escaped } from '@cyborg/model/plain-text';

import { askAgent, askHost, askStore, embeddedUrl } from './ask.ts';
import { compare, type Finding, type Sources } from './compare.ts';
import { toJsonText, toTable } from './print.ts';
import { isUnknown } from './says.ts';

const usage = `Usage: cyborg-inspect [SOURCE]... [--host NAME] [-f table|json] [-- OPTION OF cyborg-agent look...]

Says what the store, an agent and the host's own kernel and hypervisor say of one host, and where they differ.
Changes nothing. What a source does not know is unknown (?), what was not asked is -.

  --database-url URL      the store; also CYBORG_INSPECT_DATABASE_URL, which keeps the password out of the list of processes
  --state-dir DIR         the store that a server runs in its state directory
  --agent-state-dir DIR   the agent that runs with this state directory
  --look                  this host itself; what follows -- says where it is (cyborg-agent look --help)
  --host NAME             as the ledger calls it (default: the agent's, else this machine's name)
  --all                   also what is the same
  -f, --format FORMAT     table or json (default table)

Exit status: 0 nothing differs, 1 something differs, 2 bad usage, 3 nothing known differs but something is unknown.
`;

class UsageError extends Error {}

export async function inspect(argv: readonly string[]): Promise<number> {
  try {
    const options = read(argv);
    if (options.help === true) {
      process.stdout.write(usage);
      return 0;
    }
    const findings = compare(await askAll(options));
    const shown =
      options.all === true ? findings : findings.filter(({ verdict }) => verdict !== 'same');
    process.stdout.write(options.format === 'json' ? toJsonText(shown) : toTable(shown));
    return statusOf(findings);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`cyborg-inspect: ${escaped(message.replaceAll('\n', ' '))}\n`);
    return 2;
  }
}

function statusOf(findings: readonly Finding[]): number {
  if (findings.some(({ verdict }) => verdict === 'differs')) return 1;
  return findings.some(({ verdict }) => verdict === 'unknown') ? 3 : 0;
}

type Options = ReturnType<typeof read>;

function read(argv: readonly string[]) {
  const split = argv.indexOf('--');
  const own = split === -1 ? argv : argv.slice(0, split);
  const { values } = parseArgs({
    args: [...own],
    options: {
      help: { type: 'boolean', short: 'h' },
      all: { type: 'boolean' },
      look: { type: 'boolean' },
      host: { type: 'string' },
      format: { type: 'string', short: 'f', default: 'table' },
      'database-url': { type: 'string' },
      'state-dir': { type: 'string' },
      'agent-state-dir': { type: 'string' },
    },
  });
  const { format } = values;
  if (format !== 'table' && format !== 'json') {
    throw new UsageError(`--format is ${format}; it must be table or json`);
  }
  const url = values['database-url'] ?? process.env['CYBORG_INSPECT_DATABASE_URL'];
  const hasStore = url !== undefined || values['state-dir'] !== undefined;
  if (url !== undefined && !URL.canParse(url)) throw new UsageError('--database-url is no URL');
  const hasSource = hasStore || values['agent-state-dir'] !== undefined || values.look === true;
  if (!hasSource && values.help !== true) {
    throw new UsageError('there is no source: give --database-url, --agent-state-dir or --look');
  }
  return { ...values, url, lookOptions: split === -1 ? [] : argv.slice(split + 1) };
}

async function askAll(options: Options): Promise<Sources> {
  const { 'agent-state-dir': agentDir, 'state-dir': stateDir, lookOptions } = options;
  const agent = agentDir === undefined ? undefined : await askAgent(agentDir);
  const name = agent === undefined || isUnknown(agent) ? hostname() : agent.host;
  const url = options.url ?? (stateDir === undefined ? undefined : embeddedUrl(stateDir));
  const askedStore =
    url === undefined || typeof url !== 'string' ? url : askStore(url, options.host ?? name);
  const host = options.look === true ? askHost(lookOptions) : undefined;
  return { store: await askedStore, agent, host: await host };
}

if (import.meta.main) process.exitCode = await inspect(process.argv.slice(2));
