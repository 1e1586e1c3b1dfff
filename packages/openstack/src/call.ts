/** A call with its limits: a time for each attempt and for all, retries where they are safe and while the budget lasts. */
import type { IncomingMessage } from 'node:http';

import { backoffMs } from '@cyborg/service/backoff';
import { DeadlineExceeded, withDeadline } from '@cyborg/service/deadline';
import { traced } from '@cyborg/service/tracing';
import type { SpanOptions } from '@cyborg/service/tracing';

import { headersOf, parseBody, toError } from './answer.ts';
import type { Answer } from './answer.ts';
import { OpenStackError } from './errors.ts';
import type { Exchange } from './errors.ts';
import type { CallLimits } from './limits.ts';
import { makeRetryBudget } from './retry-budget.ts';
import type { RetryBudget } from './retry-budget.ts';
import { callSpan } from './spans.ts';
import type { SessionClock, SessionRng } from './time.ts';
import { readText } from './transport.ts';
import type { OutgoingRequest, Transport } from './transport.ts';

export interface CallOptions {
  /** Statuses from 400 on that are an answer and no error. */
  readonly accept?: readonly number[] | undefined;
  /** For the whole call; never more than the limit. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Caller {
  /** @throws {OpenStackError} for no answer, or a status from 400 on that is not accepted. */
  call(request: OutgoingRequest, options: CallOptions): Promise<Answer>;
  /** Resolves with the head of the answer; the body is the reader's. */
  download(request: OutgoingRequest, options: CallOptions): Promise<IncomingMessage>;
}

export interface CallDeps {
  readonly transport: Transport;
  readonly clock: SessionClock;
  readonly rng: SessionRng;
  readonly limits: CallLimits;
}

export function makeCaller(deps: CallDeps): Caller {
  const budgets = new Map<string, RetryBudget>();
  const budgetOf = ({ service }: Exchange): RetryBudget => {
    const known = budgets.get(service) ?? makeRetryBudget();
    budgets.set(service, known);
    return known;
  };
  const attempts = <Result>(
    request: OutgoingRequest,
    options: CallOptions,
    attempt: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> => {
    const budget = budgetOf(request.exchange);
    return traced(callSpan(request.exchange), spanOf(request), () =>
      withRetries({ ...deps, budget }, { request, options, attempt }),
    );
  };
  return {
    call: (request, options) =>
      attempts(request, options, (signal) => ask(deps, { request, options, signal })),
    download: (request, options) =>
      attempts(request, options, async (signal) => {
        const message = await deps.transport.open(request, signal);
        if (isWelcome(message.statusCode ?? 0, options)) return message;
        throw toError(await toAnswer(message, request, deps), request.exchange);
      }),
  };
}

function spanOf({ exchange, url }: OutgoingRequest): SpanOptions {
  return {
    kind: 'client',
    attributes: {
      'http.request.method': exchange.method,
      'server.address': url.host,
      'url.path': url.pathname,
    },
  };
}

async function ask(
  deps: CallDeps,
  {
    request,
    options,
    signal,
  }: { request: OutgoingRequest; options: CallOptions; signal: AbortSignal },
): Promise<Answer> {
  const answer = await toAnswer(await deps.transport.open(request, signal), request, deps);
  if (isWelcome(answer.status, options)) return answer;
  throw toError(answer, request.exchange);
}

async function toAnswer(
  message: IncomingMessage,
  { exchange, url }: OutgoingRequest,
  { limits }: CallDeps,
): Promise<Answer> {
  const headers = headersOf(message);
  const text = await readText(message, { exchange, url, bytesMax: limits.answerBytesMax });
  const status = message.statusCode ?? 0;
  return { status, headers, body: bodyOf(text, { status, headers }, exchange) };
}

/** An error's body may be anything, even broken JSON: its status says enough. */
function bodyOf(
  text: string,
  { status, headers }: Pick<Answer, 'status' | 'headers'>,
  exchange: Exchange,
): unknown {
  try {
    return parseBody(text, headers, exchange);
  } catch (error) {
    if (status >= 400) return text;
    throw error;
  }
}

function isWelcome(status: number, { accept = [] }: CallOptions): boolean {
  return (status >= 200 && status < 300) || accept.includes(status);
}

interface Attempts<Result> {
  readonly request: OutgoingRequest;
  readonly options: CallOptions;
  readonly attempt: (signal: AbortSignal) => Promise<Result>;
}

async function withRetries<Result>(
  deps: CallDeps & { readonly budget: RetryBudget },
  { request, options, attempt }: Attempts<Result>,
): Promise<Result> {
  const { clock, limits, budget } = deps;
  const callMs = Math.min(options.timeoutMs ?? limits.callMs, limits.callMs);
  const endMs = clock.monotonicMs() + callMs;
  for (let number = 1; ; number += 1) {
    const leftMs = endMs - clock.monotonicMs();
    try {
      const timeoutMs = Math.min(limits.attemptMs, leftMs);
      const { exchange } = request;
      const { signal } = options;
      const result = await withinTime(attempt, { clock, timeoutMs, signal, exchange });
      budget.earn();
      return result;
    } catch (error) {
      const pauseMs = pauseBefore(error, { number, request, deps });
      const isLast = number >= limits.attemptsMax || pauseMs === undefined;
      if (isLast || clock.monotonicMs() + pauseMs >= endMs || !budget.spend()) throw error;
      await clock.sleep(pauseMs, options.signal);
    }
  }
}

interface Bounds {
  readonly clock: SessionClock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly exchange: Exchange;
}

/** @throws {OpenStackError} `timeout` */
export async function withinTime<Result>(
  work: (signal: AbortSignal) => Promise<Result>,
  { clock, timeoutMs, signal, exchange: { service, method, path } }: Bounds,
): Promise<Result> {
  try {
    return await withDeadline(work, { clock, timeoutMs, what: `${method} ${path}`, signal });
  } catch (error) {
    if (!(error instanceof DeadlineExceeded)) throw error;
    throw new OpenStackError(
      `${service} did not answer ${method} ${path} within ${Math.round(timeoutMs)} ms. ` +
        'Is it overloaded, or its address in the catalogue wrong?',
      { failure: 'timeout', exchange: { service, method, path }, cause: error },
    );
  }
}

/** POST may have been carried out when its answer is lost; the others say the same thing twice. */
const idempotent = new Set(['GET', 'HEAD', 'PUT', 'DELETE']);

/** Undefined: do not try again. */
function pauseBefore(
  error: unknown,
  { number, request, deps }: { number: number; request: OutgoingRequest; deps: CallDeps },
): number | undefined {
  if (!(error instanceof OpenStackError)) return undefined;
  const isRepeatable = request.isRepeatable ?? idempotent.has(request.exchange.method);
  if (!isWorthRetrying(error, isRepeatable)) return undefined;
  const { retryFirstMs: firstMs, retryMaxMs: maxMs } = deps.limits;
  const ownMs = backoffMs(number, { firstMs, maxMs }, deps.rng);
  return error.retryAfterMs === undefined ? ownMs : error.retryAfterMs + ownMs;
}

function isWorthRetrying({ failure, status }: OpenStackError, isIdempotent: boolean): boolean {
  // Nothing was sent, or the service said itself that it did nothing.
  if (failure === 'refused' || failure === 'unresolvable') return true;
  if (status === 429 || status === 503) return true;
  if (!isIdempotent) return false;
  return failure === 'lost' || failure === 'timeout' || status === 502 || status === 504;
}
