import type { Order } from '@cyborg/api-spec/agent/desired';
import type { OrderOutcome } from '@cyborg/api-spec/agent/report';
import { traceParent } from '@cyborg/service/tracing';

export type OutcomeKind = OrderOutcome['outcome'];

/** How one try of an order ended. */
export type Try =
  | {
      readonly is: 'done';
      readonly outcome: OutcomeKind;
      readonly message?: string;
      /** No other try can help before a person has done what the message says. */
      readonly needsPerson?: boolean;
      readonly evidence?: readonly string[];
    }
  /** Tried again after a pause; the outcome tells the server what keeps it. */
  | { readonly is: 'again'; readonly outcome: 'retrying' | 'held'; readonly message: string };

const textMax = 2048;
const evidenceMax = 32;

export function toOutcome(
  { kind, attachment_id, accelerator_id, epoch }: Order,
  { outcome, message, needsPerson, evidence = [] }: Omit<Extract<Try, { is: 'done' }>, 'is'>,
): OrderOutcome {
  const parent = traceParent();
  return {
    kind,
    attachment_id,
    accelerator_id,
    epoch,
    outcome,
    message: message === undefined ? null : clean(message),
    evidence: evidence.slice(0, evidenceMax).map(clean),
    ...(needsPerson === true ? { needs_person: true } : {}),
    ...(parent === null ? {} : { trace_parent: parent }),
  };
}

/** As the agent API takes texts: no NUL, a limited length. */
function clean(text: string): string {
  return text.replaceAll('\0', '').slice(0, textMax);
}
