/** What a driver said last on a host, for people. */
import Type, { type Static } from 'typebox';

import { InstantSchema, closed } from './common.ts';

export const driverLogLimits = {
  linesMax: 50,
  lineCharactersMax: 500,
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
export type DriverLogLine = Static<typeof DriverLogLineSchema>;
