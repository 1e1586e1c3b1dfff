/** Schemas that every resource uses. Keys on the wire are snake_case; closed objects refuse unknown keys. */
import { acceleratorTypes } from '@cyborg/model/accelerator-types';
import Type, { type Static } from 'typebox';

export const closed = { additionalProperties: false } as const;

export const limits = {
  pageItemsMax: 1000,
  pageItemsDefault: 100,
  nameLengthMax: 255,
  attachCountMax: 64,
  attachTraitsMax: 64,
  labelsMax: 64,
} as const;

export const Nullable = <T extends Type.TSchema>(schema: T): Type.TUnion<[T, Type.TNull]> =>
  Type.Union([schema, Type.Null()]);

export const UuidSchema = Type.String({
  pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$',
  description: 'an id, such as 8fe851a5-00ea-4465-80f4-e5f9002cd774',
});
export const NameSchema = Type.String({
  minLength: 1,
  maxLength: limits.nameLengthMax,
  pattern: '^[^\\u0000-\\u001f]+$',
  description: 'text without control characters',
});
/** Host and backend names: what is safe in `host@backend`, a URL and a file name. */
export const SlugSchema = Type.String({
  minLength: 1,
  maxLength: 63,
  pattern: '^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$',
  description: 'letters, digits, dots, dashes and underscores, with a letter or digit at both ends',
});
export const TextSchema = Type.String({
  maxLength: 2048,
  pattern: '^[^\\u0000]*$',
  description: 'text without NUL characters',
});
export const InstantSchema = Type.String({
  format: 'date-time',
  description: 'UTC, milliseconds.',
});
export const LabelsSchema = Type.Record(
  Type.String({ pattern: '^[A-Za-z0-9._/-]{1,63}$' }),
  Type.String({
    maxLength: 255,
    pattern: '^[^\\u0000]*$',
    description: 'text without NUL characters',
  }),
  {
    maxProperties: limits.labelsMax,
    additionalProperties: false,
    // For the refusal of others: what a key may be.
    'x-keys': "1 to 63 letters, digits, '.', '_', '/' and '-'",
  },
);
export const StringsSchema = Type.Record(Type.String(), Type.String());
/** A filter's text, of which only these are known; the client's type stays text. */
export function oneOf(values: readonly string[]): Type.TString {
  return Type.String({
    pattern: `^(${values.join('|')})$`,
    description: `one of ${values.join(', ')}`,
  });
}

export const AcceleratorTypeSchema = Type.String({
  pattern: `^(${acceleratorTypes.join('|')})$`,
  description: `one of ${acceleratorTypes.join(', ')}`,
});

/** RFC 9457, with a stable `code`; further members name choices, users, nearest names. */
export const ProblemSchema = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String(),
    detail: Type.String(),
    instance: Type.String({ description: 'Request id, also in the x-request-id header.' }),
  },
  { additionalProperties: true },
);
export type Problem = Static<typeof ProblemSchema>;

export const problems = { '4xx': ProblemSchema, '5xx': ProblemSchema } as const;

/** One page of a list; `next` is the marker of the following page, or null on the last. */
export function PageOf<T extends Type.TSchema>(
  item: T,
): Type.TObject<{ items: Type.TArray<T>; next: Type.TUnion<[Type.TString, Type.TNull]> }> {
  return Type.Object({ items: Type.Array(item), next: Type.Union([Type.String(), Type.Null()]) });
}

export const pageQuery = {
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: limits.pageItemsMax, default: limits.pageItemsDefault }),
  ),
  marker: Type.Optional(Type.String({ maxLength: 512, description: '`next` of the page before.' })),
} as const;

export const dryRunQuery = {
  dry_run: Type.Optional(
    Type.Boolean({ default: false, description: 'Answer what would happen; change nothing.' }),
  ),
} as const;

/** For what is refused while something is in use. */
export const forceQuery = {
  force: Type.Optional(
    Type.Boolean({
      default: false,
      description:
        'Although something is in use: admins only; an event names the actor and what is kept.',
    }),
  ),
} as const;

export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
});
/** For answers with a secret: they are kept encrypted under the key, which must therefore be hard to guess. */
export const SecretIdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      minLength: 22,
      maxLength: 255,
      description:
        'Hard to guess, such as a UUID: the answer, which holds a secret, is kept encrypted under it.',
    }),
  ),
});
export const IfMatchHeaders = Type.Object({
  'if-match': Type.Optional(
    Type.String({ maxLength: 128, description: '`ETag` of the thing as it was read.' }),
  ),
});
/** What replaces a whole thing, and may be sent again. */
export const PutHeaders = Type.Object({
  ...IdempotencyHeaders.properties,
  ...IfMatchHeaders.properties,
});

/** What a changing call would do, or why it would not. */
export const DryRunSchema = Type.Object({
  dry_run: Type.Literal(true),
  would_succeed: Type.Boolean(),
  changes: Type.Array(
    Type.Object({ subject_kind: Type.String(), subject_id: Type.String(), change: Type.String() }),
  ),
  refusal: Nullable(Type.Object({ code: Type.String(), detail: Type.String() })),
  /** For an attach that finds too little: the nearest misses, each with what keeps it from fitting. */
  nearest_misses: Type.Array(
    Type.Object({
      accelerator_id: Type.String(),
      name: Type.String(),
      why_not: Type.Array(Type.String()),
    }),
  ),
});
export type DryRun = Static<typeof DryRunSchema>;
