/**
 * The console's sessions. A session is its cookie and nothing else: sealed with a key of the ledger, so that every
 * replica knows it and none has to remember it.
 */
import type { ConductorDeps } from '@cyborg/conductor/deps';
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import type { Rng } from '@cyborg/service/rng';
import { openConsoleKey } from '@cyborg/store/console-key';
import type { FastifyReply, FastifyRequest } from 'fastify';
import Type, { type Static } from 'typebox';
import { Check } from 'typebox/value';

import type { Authenticator, SignInWords } from '../auth/authenticator.ts';
import { cookieCharsMax, cookieText, readCookie } from './cookie.ts';
import { seal, sealKeyBytes, unseal } from './sealed.ts';

export const sessionLimits = {
  /** However busy its user is. */
  totalSeconds: 12 * 3_600,
} as const;

/** Only our own page sends it: another site's would have to ask first, and is not answered. */
export const consoleHeader = 'x-cyborg-console';

const SealedSchema = Type.Object(
  {
    auth: Type.String(),
    ticket: Type.String(),
    /** Milliseconds since 1970. */
    begun: Type.Integer(),
    active: Type.Integer(),
  },
  { additionalProperties: false },
);
type Sealed = Static<typeof SealedSchema>;

export interface SessionsDeps {
  readonly authenticator: Authenticator;
  readonly conductor: Pick<ConductorDeps, 'db' | 'clock'>;
  readonly rng: Rng;
  readonly consoleIdleSeconds: number;
  readonly isBehindProxy: boolean;
}

export interface Sessions {
  /** By credentials of the request's own, else by its session. @throws ServiceError as the authenticator does. */
  identify(request: FastifyRequest): Promise<Caller | undefined>;
  /** @returns undefined when the words are wrong. */
  begin(words: SignInWords, exchange: Exchange): Promise<Caller | undefined>;
  /** Says that the person is still there. @returns false when there is no session to go on with. */
  renew(exchange: Exchange): Promise<boolean>;
  end(exchange: Exchange): void;
}

export interface Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

export function makeSessions(deps: SessionsDeps): Sessions {
  const { authenticator, conductor, isBehindProxy } = deps;
  const { signIns } = authenticator;
  const key = makeKey(deps);
  const nowMs = (): number => conductor.clock.now().getTime();
  const read = async (request: FastifyRequest): Promise<Sealed | undefined> => {
    const cookie = readCookie(request, isBehindProxy);
    if (cookie === undefined || signIns === undefined) return undefined;
    const session = parse(unseal(cookie, await key()));
    const isOurs = session?.auth === signIns.kind;
    return isOurs && isAlive(session, deps, nowMs()) ? session : undefined;
  };
  const write = async (session: Sealed, { request, reply }: Exchange): Promise<void> => {
    const value = seal(JSON.stringify(session), await key(), deps.rng);
    if (value.length > cookieCharsMax) {
      throw new ServiceError(
        'unavailable',
        "Keystone's token is too long for a cookie: have Keystone give fernet or jws tokens without a catalogue.",
      );
    }
    reply.header('set-cookie', cookieText(request, { isBehindProxy, value }));
  };
  return {
    async identify(request) {
      const session = hasCredentials(request) ? undefined : await read(request);
      if (session === undefined || signIns === undefined) {
        return authenticator.authenticate({ headers: request.headers, address: request.ip });
      }
      refuseForeignChange(request);
      return signIns.resume(session.ticket);
    },
    async begin(words, exchange) {
      const signedIn = await signIns?.begin(words, exchange.request.ip);
      if (signedIn === undefined || signIns === undefined) return undefined;
      const { ticket, caller } = signedIn;
      const now = nowMs();
      await write({ auth: signIns.kind, ticket, begun: now, active: now }, exchange);
      return caller;
    },
    async renew(exchange) {
      const session = await read(exchange.request);
      if (session === undefined) return false;
      if ((await signIns?.resume(session.ticket)) === undefined) return false;
      await write({ ...session, active: nowMs() }, exchange);
      return true;
    },
    end: ({ request, reply }) =>
      void reply.header('set-cookie', cookieText(request, { isBehindProxy, value: undefined })),
  };
}

/** Read once; a failure to read is not remembered. */
function makeKey({ conductor, rng }: SessionsDeps): () => Promise<Buffer> {
  let known: Promise<Buffer> | undefined;
  return () => {
    known ??= openConsoleKey(conductor.db, {
      fresh: rng.bytes(sealKeyBytes),
      now: conductor.clock.now(),
    }).catch((error: unknown) => {
      known = undefined;
      throw error;
    });
    return known;
  };
}

function parse(text: string | undefined): Sealed | undefined {
  if (text === undefined) return undefined;
  const content: unknown = JSON.parse(text);
  return Check(SealedSchema, content) ? content : undefined;
}

function isAlive(
  { begun, active }: Sealed,
  { consoleIdleSeconds }: SessionsDeps,
  nowMs: number,
): boolean {
  const { totalSeconds } = sessionLimits;
  return nowMs - active < consoleIdleSeconds * 1000 && nowMs - begun < totalSeconds * 1000;
}

function hasCredentials({ headers }: FastifyRequest): boolean {
  return headers.authorization !== undefined || headers['x-auth-token'] !== undefined;
}

const reading = new Set(['GET', 'HEAD']);

/** SameSite=Strict keeps other sites' requests without a cookie; this holds where a browser does not know it. */
export function refuseForeignChange({ method, headers }: FastifyRequest): void {
  if (reading.has(method) || headers[consoleHeader] !== undefined) return;
  throw new ServiceError(
    'forbidden',
    `By a session's cookie nothing is changed without the header ${consoleHeader}: use the console, or send credentials.`,
  );
}
