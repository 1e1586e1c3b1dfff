/** What the sources say, as it is parsed at the door. A source that cannot be asked is a sentence that says why. */
import type { StoreSays } from '@cyborg/store/inspection';
import Type from 'typebox';
import type { Static } from 'typebox';

export type { StoreSays };

/** A source that was asked and could not answer. */
export interface Unknown {
  readonly unknown: string;
}

const Nullable = <T extends Type.TSchema>(schema: T): Type.TUnion<[T, Type.TNull]> =>
  Type.Union([schema, Type.Null()]);
const UnknownSchema = Type.Object({ unknown: Type.String() });
const FunctionsSchema = Type.Array(
  Type.Object({ address: Type.String(), kernel_driver: Nullable(Type.String()) }),
);
const GuestsSchema = Type.Object({
  /** False: something did not answer, so what is missing may be there. */
  is_complete: Type.Boolean(),
  devices: Type.Array(Type.Object({ name: Type.String(), instance_id: Type.String() })),
});
export type Guests = Static<typeof GuestsSchema>;

export const AgentSaysSchema = Type.Object({
  host: Type.String(),
  instance: Type.String(),
  ledger: Nullable(Type.Object({ id: Type.String(), incarnation: Type.Integer() })),
  lease_held: Type.Boolean(),
  installations: Type.Array(
    Type.Object({ driver_id: Type.String(), running_version: Nullable(Type.String()) }),
  ),
  backends: Type.Array(
    Type.Object({
      id: Type.String(),
      state: Nullable(Type.String()),
      inventory_hash: Nullable(Type.String()),
      functions: Nullable(FunctionsSchema),
    }),
  ),
  hypervisor: Nullable(GuestsSchema),
  held: Nullable(Type.Array(Type.String())),
});
export type AgentSays = Static<typeof AgentSaysSchema>;

export const HostSaysSchema = Type.Object({
  functions: Type.Union([FunctionsSchema, UnknownSchema]),
  hypervisor: Type.Union([GuestsSchema, UnknownSchema]),
});
export type HostSays = Static<typeof HostSaysSchema>;

export function isUnknown(said: unknown): said is Unknown {
  return typeof said === 'object' && said !== null && 'unknown' in said;
}
