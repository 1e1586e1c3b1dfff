/**
 * The module of the scanning process: the scan, and for a real host between its two halves questions to the agent of what
 * only root can see: who new cards are, and who has the functions' nodes open.
 */
import type { CardIdentity } from '@cyborg/driver-sdk/card-identity';
import { protocolLimits } from '@cyborg/driver-sdk/protocol-constants';
import type { AgentResult } from '@cyborg/driver-sdk/protocol';
import type { Ask } from '@cyborg/driver-sdk/scan-process';
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { readOpenNodes, type OpenNodes } from '@cyborg/driver-sdk/host-use/open-node-table';
import { openScan, type ScanInput, type ScanOutput, type Told } from './scan.ts';

export interface HostScanInput extends ScanInput {
  /** The tree is this host's own, as its /proc: the agent is asked. */
  readonly asksAgent: boolean;
}

export interface OpenNodesQuestion {
  readonly nodes: readonly string[];
}
export interface SerialNumbersQuestion {
  readonly addresses: readonly string[];
}
export type ScanQuestion = OpenNodesQuestion | SerialNumbersQuestion;

/** `unknown` when this agent does not know the question, or there is none. */
export type OpenNodesAnswer = AgentResult<'openNodes'> | 'unknown';
export type SerialNumbersAnswer = AgentResult<'serialNumbers'> | 'unknown';

export async function scan(
  input: HostScanInput,
  reader: TreeReader,
  ask: Ask,
): Promise<ScanOutput> {
  const opened = openScan(input, reader);
  if (!input.asksAgent) return opened.finish();
  const identities = await askWho(opened.unidentified(), ask);
  const nodes = opened.nodes();
  if (nodes.length === 0) return opened.finish({ identities });
  const open = await findOpen(nodes, { reader, ask, proc: input.roots.proc });
  return opened.finish({ identities, open });
}

/** Without an answer nothing is told at all: under its slot's name a card would be another than it was and will be. */
async function askWho(addresses: readonly string[], ask: Ask): Promise<Told['identities']> {
  const told = new Map<string, CardIdentity>();
  for (let from = 0; from < addresses.length; from += protocolLimits.serialNumbersMax) {
    const some = addresses.slice(from, from + protocolLimits.serialNumbersMax);
    // scanner.ts answers, with what the agent said as the protocol has it.
    const answer = (await ask({
      addresses: some,
    } satisfies SerialNumbersQuestion)) as SerialNumbersAnswer;
    if (answer === 'unknown') return undefined;
    for (const { address, ...identity } of answer.functions) told.set(address, identity);
  }
  return told;
}

async function findOpen(
  nodes: readonly string[],
  { reader, ask, proc }: { reader: TreeReader; ask: Ask; proc: string },
): Promise<OpenNodes | 'missing'> {
  const holders = new Map<string, string>();
  if (nodes.length > protocolLimits.openNodesMax) {
    return { holders, missing: `${nodes.length} device nodes are too many to ask the agent for` };
  }
  try {
    // scanner.ts answers, with what the agent said as the protocol has it.
    const answer = (await ask({ nodes } satisfies OpenNodesQuestion)) as OpenNodesAnswer;
    if (answer === 'unknown') return readOpenNodes(reader, proc) ?? 'missing';
    for (const { node, pid, command } of answer.open) {
      holders.set(node, `${command} (pid ${pid})`);
    }
    const missing = answer.complete ? null : 'the agent cannot see the files of every process';
    return { holders, missing };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { holders, missing: `the agent did not say: ${why}` };
  }
}
