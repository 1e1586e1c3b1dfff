/** What the schemas of the agent API share: limits, kinds of values, and which ledger is meant. */
import Type, { type Static } from 'typebox';

import { Nullable, UuidSchema, closed } from '../common.ts';

export const agentLimits = {
  /** The agent's lease by the server's clock; the agent lets it run out earlier by its own. */
  leaseSeconds: 15,
  longPollSecondsMax: 30,
  ordersPerAnswerMax: 512,
  reportItemsMax: 1024,
  numaNodesMax: 64,
  /** Of one driver on one host. */
  backendsMax: 256,
  inventoryBytesMax: 32 * 1024 * 1024,
} as const;

export const Key = Type.String({ minLength: 1, maxLength: 255 });
export const TraceParent = Nullable(Type.String({ maxLength: 128 }));
export const Epoch = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

export const LedgerRefSchema = Type.Object(
  { id: UuidSchema, incarnation: Type.Integer({ minimum: 1 }) },
  closed,
);
export type LedgerRef = Static<typeof LedgerRefSchema>;
