/** What a run cannot show: the kit's host is simulated, and a driver may do there without what it asks of an agent. */
import { agentRequests, type AgentMethod, type BackendSpec } from '@cyborg/driver-sdk/protocol';
import type { Target } from './kit.ts';

const looks: ReadonlySet<string> = new Set<AgentMethod>([
  'listBound',
  'openNodes',
  'serialNumbers',
]);
const beyond = 'beyond a simulated host';

/** Kinds whose functions or parts are given to guests though no trial saw how: nobody asked the agent for an act. */
export function unseenKinds(seen: {
  readonly asked: ReadonlySet<string>;
  readonly offered: readonly Target[];
  readonly backends: readonly BackendSpec[];
}): string[] {
  const acts = Object.keys(agentRequests).filter((method) => !looks.has(method));
  if (acts.some((method) => seen.asked.has(method))) return [];
  const names = seen.offered
    .filter(({ accelerator: { plans } }) => plans.includes('pci') || plans.includes('mdev'))
    .map(({ backend }) => backend);
  const kinds = seen.backends.filter(({ name }) => names.includes(name)).map(({ kind }) => kind);
  return [...new Set(kinds)].map(
    (kind) =>
      `${kind} ${beyond} (no trial saw it ask its agent for bind, reset or restore; try prepare, release and clean on a host)`,
  );
}

/** For the last line of a report; empty when all was seen. */
export function warningOf(leftOut: readonly string[]): string {
  return leftOut.some((kind) => kind.includes(` ${beyond} (`))
    ? '; on a simulated host alone: how it has functions bound and reset was not tried'
    : '';
}
