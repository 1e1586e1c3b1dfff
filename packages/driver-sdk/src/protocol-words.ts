/** What the schemas of the driver protocol are made of. */
import Type from 'typebox';

export const closed = { additionalProperties: false } as const;
export const Text = Type.String({ maxLength: 1024 });
export const Key = Type.String({ minLength: 1, maxLength: 255 });
export const Nullable = <T extends Type.TSchema>(schema: T): Type.TUnion<[T, Type.TNull]> =>
  Type.Union([schema, Type.Null()]);
