/** What a driver said and measured last on a host. */
import Type, { type Static } from 'typebox';

import { InstantSchema, closed } from './common.ts';

export const driverLogLimits = {
  linesMax: 50,
  lineCharactersMax: 500,
  /** Of a backend. */
  figuresMax: 32,
} as const;

/** A line of a driver's log, without secrets: what it wrote to stderr, its notifications, what the agent did to it. */
export const DriverLogLineSchema = Type.Object(
  {
    /** By the host's clock. */
    at: InstantSchema,
    level: Type.Union([
      Type.Literal('debug'),
      Type.Literal('info'),
      Type.Literal('warn'),
      Type.Literal('error'),
      Type.Literal('stderr'),
      Type.Literal('agent'),
    ]),
    message: Type.String({
      maxLength: driverLogLimits.lineCharactersMax,
      pattern: '^[^\\u0000]*$',
      description: 'text without NUL characters',
    }),
  },
  closed,
);
/** What a driver measured last for one backend: its figures by name, truth values as 0 and 1. */
export const BackendStatsSchema = Type.Object(
  {
    /** By the host's clock. */
    at: InstantSchema,
    figures: Type.Record(
      Type.String({ pattern: '^[A-Za-z][A-Za-z0-9_.:-]{0,63}$' }),
      Type.Number(),
      {
        maxProperties: driverLogLimits.figuresMax,
      },
    ),
  },
  closed,
);
export type BackendStats = Static<typeof BackendStatsSchema>;

export type DriverLogLine = Static<typeof DriverLogLineSchema>;
