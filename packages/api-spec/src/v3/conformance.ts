/** What `cyborg driver-test` says of a driver package, as it is sent and as it is shown. */
import Type, { type Static } from 'typebox';

import { InstantSchema, Nullable, TextSchema, closed } from '../common.ts';

export const DigestSchema = Type.String({
  pattern: '^sha512-[A-Za-z0-9+/]{86}==$',
  description: 'a digest as npm writes it: sha512- and base64',
});

const NameSchema = Type.String({ minLength: 1, maxLength: 255, pattern: '^[^\\u0000]*$' });
const clausesMax = 256;
const listedMax = 256;
const seedMax = 2 ** 31 - 1;

const ClauseSchema = Type.Object(
  {
    clause: Type.String({ maxLength: 32, pattern: '^D-[A-Z]+-[0-9]+$' }),
    text: TextSchema,
    outcome: Type.Union([
      Type.Literal('passed'),
      Type.Literal('failed'),
      Type.Literal('untested'),
      Type.Literal('not-run'),
    ]),
    /** Why it failed, was not tested or not run. */
    detail: Nullable(TextSchema),
    duration_ms: Type.Integer({ minimum: 0 }),
  },
  closed,
);

/** The file that `cyborg driver-test PACKAGE --report FILE` writes. */
export const ConformanceReportSchema = Type.Object(
  {
    cyborg_driver_report: Type.Literal(1),
    kit: Type.Object({ version: NameSchema, protocol: NameSchema }, closed),
    driver: Type.Object({ id: NameSchema, version: NameSchema }, closed),
    /** null when a folder was tried: such a report is refused. */
    package: Nullable(Type.Object({ digest: DigestSchema }, closed)),
    /** Clauses that alone were tried: refused unless it is empty. */
    only: Type.Array(NameSchema, { maxItems: clausesMax }),
    backends: Type.Array(NameSchema, { maxItems: listedMax }),
    left_out: Type.Array(TextSchema, { maxItems: listedMax }),
    seed: Type.Integer({ minimum: 0, maximum: seedMax }),
    duration_ms: Type.Integer({ minimum: 0 }),
    passed: Type.Boolean(),
    clauses: Type.Array(ClauseSchema, { minItems: 1, maxItems: clausesMax }),
  },
  closed,
);
export type ConformanceReport = Static<typeof ConformanceReportSchema>;

/** As it is shown with the version. */
export const ConformanceSchema = Type.Object(
  {
    /** No clause is broken, and none was left out. */
    passed: Type.Boolean(),
    kit_version: Type.String(),
    /** Version of the driver protocol that was tried. */
    protocol: Type.String(),
    clauses_passed: Type.Integer(),
    clauses_failed: Type.Integer(),
    /** They do not apply to it, or nothing was there to try them on. */
    clauses_untested: Type.Integer(),
    clauses_not_run: Type.Integer(),
    failures: Type.Array(
      Type.Object({ clause: Type.String(), text: Type.String(), reason: Nullable(Type.String()) }),
    ),
    /** Backends that it was tried with. */
    backends: Type.Array(Type.String()),
    /** Kinds of backend that were not tried, and why. */
    left_out: Type.Array(Type.String()),
    /** The same seed tries the same. */
    seed: Type.Integer(),
    duration_ms: Type.Integer(),
    uploaded_by: Nullable(Type.String()),
    uploaded_at: InstantSchema,
  },
  {
    description:
      'A statement of whoever uploaded it about this very content: the server has not tried the driver.',
  },
);
