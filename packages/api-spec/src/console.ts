/** What the console asks of its own server, besides the v3 API: who is signed in, and signing in and out. */
import Type, { type Static } from 'typebox';

import { Nullable, closed } from './common.ts';
import { CallerSchema } from './v3/access.ts';

const Word = Type.String({ minLength: 1, maxLength: 255, pattern: '^[^\\u0000-\\u001f]+$' });

export const SignInSchema = Type.Object(
  {
    user: Word,
    password: Type.String({ minLength: 1, maxLength: 1024 }),
    /** Of Keystone: the name or id of the project to work in, and the domain of user and project. */
    project: Type.Optional(Word),
    domain: Type.Optional(Word),
  },
  closed,
);
export type SignIn = Static<typeof SignInSchema>;

export const ConsoleSessionSchema = Type.Object({
  auth: Type.Union([Type.Literal('http_basic'), Type.Literal('keystone'), Type.Literal('none')]),
  /** Null: nobody is signed in. */
  caller: Nullable(CallerSchema),
  /** A session that its user leaves alone for so long ends; null where there are none. */
  idle_seconds: Nullable(Type.Integer()),
  /** Number of the newest event: what is read from now on is kept up to date by those after it. */
  newest_event: Type.Integer(),
  version: Type.String(),
});
export type ConsoleSession = Static<typeof ConsoleSessionSchema>;
