/** What QEMU says, checked at the door. Its fields that we do not use may be anything. */
import Type, { type Static, type TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { QmpError, type QmpConnection } from './qmp.ts';

export const StatusSchema = Type.Object({ status: Type.String() });
export const UuidSchema = Type.Object({ UUID: Type.String() });
export const NameSchema = Type.Object({ name: Type.Optional(Type.String()) });
export const PropertiesSchema = Type.Array(
  Type.Object({ name: Type.String(), type: Type.String() }),
);
export const MemoryBackendsSchema = Type.Array(
  Type.Object({ policy: Type.String(), 'host-nodes': Type.Array(Type.Integer({ minimum: 0 })) }),
);
export const CpusSchema = Type.Array(
  Type.Object({
    'thread-id': Type.Integer(),
    props: Type.Optional(Type.Object({ 'node-id': Type.Optional(Type.Integer()) })),
  }),
);

export interface Query<T extends TSchema> {
  readonly command: string;
  readonly args?: Readonly<Record<string, unknown>>;
  readonly schema: T;
}

/** @throws QmpError `not-qmp` when the answer has another shape. */
export async function ask<T extends TSchema>(
  qmp: QmpConnection,
  { command, args, schema }: Query<T>,
): Promise<Static<T>> {
  const answer = await qmp.execute(command, args);
  if (Value.Check(schema, answer)) return answer;
  throw new QmpError('not-qmp', `The answer to ${command} is not what QEMU documents.`);
}
