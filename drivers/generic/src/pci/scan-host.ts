/**
 * The module of the scanning process: the scan, and for a real host between its two halves one question to the agent,
 * who has the functions' nodes open, because that only root can see.
 */
import { protocolLimits } from '@cyborg/driver-sdk/protocol-constants';
import type { AgentResult } from '@cyborg/driver-sdk/protocol';
import type { Ask } from '@cyborg/driver-sdk/scan-process';
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { readOpenNodes, type OpenNodes } from '@cyborg/driver-sdk/host-use/open-node-table';
import { openScan, type ScanInput, type ScanOutput } from './scan.ts';

export interface HostScanInput extends ScanInput {
  /** The tree is this host's own, as its /proc: the agent is asked. */
  readonly asksAgent: boolean;
}

export interface OpenNodesQuestion {
  readonly nodes: readonly string[];
}

/** `unknown` when this agent does not know the question, or there is none. */
export type OpenNodesAnswer = AgentResult<'openNodes'> | 'unknown';

export async function scan(
  input: HostScanInput,
  reader: TreeReader,
  ask: Ask,
): Promise<ScanOutput> {
  const opened = openScan(input, reader);
  if (!input.asksAgent) return opened.finish();
  const nodes = opened.nodes();
  if (nodes.length === 0) return opened.finish();
  return opened.finish(await findOpen(nodes, { reader, ask, proc: input.roots.proc }));
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
    // kind.ts answers, with what the agent said as the protocol has it.
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
