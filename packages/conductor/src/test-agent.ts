/** A host's agent for tests: takes the ledger's orders and says what became of them, as a real one would. */
import type { ConductorDeps } from './deps.ts';
import { listOrders, type OrderView } from './orders/orders.ts';
import { applyOutcomes, type Outcome } from './orders/outcomes.ts';
import { dispatchAttachments } from './reconcilers/dispatch-attachments.ts';
import { applyProgramOutcomes } from './programs/report-outcomes.ts';
import { act } from './transaction.ts';

const done = {
  attach: 'attached',
  detach: 'released',
  clean: 'cleaned',
  update: 'updated',
} as const;

export function outcomeOf(order: OrderView, changes: Partial<Outcome> = {}): Outcome {
  return {
    kind: order.kind,
    attachment_id: order.attachment_id,
    accelerator_id: order.accelerator_id,
    epoch: order.epoch,
    outcome: done[order.kind],
    message: null,
    evidence: [],
    ...changes,
  };
}

export async function report(
  deps: ConductorDeps,
  host: { readonly id: string },
  outcomes: readonly Outcome[],
): Promise<void> {
  await act(deps, (current) => applyOutcomes(current, deps, { host, outcomes }));
  const updates = outcomes.filter(({ kind }) => kind === 'update');
  await applyProgramOutcomes(deps, host, updates);
}

export async function ordersOf(
  deps: ConductorDeps,
  host: { readonly id: string },
): Promise<OrderView[]> {
  return (await listOrders(deps.db, host.id, 512)).orders;
}

export async function dispatch(deps: ConductorDeps): Promise<void> {
  await dispatchAttachments(deps).pass(new AbortController().signal);
}

/** Dispatches and carries out orders until none is left. */
export async function obey(
  deps: ConductorDeps,
  host: { readonly id: string },
  decide: (order: OrderView) => Outcome = outcomeOf,
): Promise<void> {
  for (let round = 0; round < 16; round++) {
    await dispatch(deps);
    const orders = await ordersOf(deps, host);
    if (orders.length === 0) return;
    await report(
      deps,
      host,
      orders.map((order) => decide(order)),
    );
  }
}
