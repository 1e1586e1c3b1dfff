/** Reading through the cache: what is shown is read once and again when an event says that it has changed. */
import { ApiError } from '@cyborg/api-client/errors';
import { keepPreviousData, useQuery, type QueryKey } from '@tanstack/react-query';

import { useCall, type Args, type Answer, type Result } from './call.ts';
import { nounOf, type ReadName } from './nouns.ts';

export interface Reading<Body> {
  readonly data: Body | undefined;
  readonly etag: string | undefined;
  readonly error: Error | null;
  readonly isPending: boolean;
  /** What is shown is of the page before. */
  readonly isOld: boolean;
  readonly again: () => void;
}

export interface ReadOptions {
  readonly enabled?: boolean;
  /** Goes on showing the last page while the next one is read. */
  readonly keeps?: boolean;
}

function keyOf<Name extends ReadName>(name: Name, args: Args<Name>): QueryKey {
  return [nounOf[name], name, args];
}

export function useRead<Name extends ReadName>(
  name: Name,
  args: Args<Name>,
  { enabled = true, keeps = false }: ReadOptions = {},
): Reading<Result<Name>> {
  const call = useCall();
  const query = useQuery<Answer<Result<Name>>>({
    queryKey: keyOf(name, args),
    queryFn: ({ signal }) => call(name, args, { signal }),
    enabled,
    ...(keeps ? { placeholderData: keepPreviousData<Answer<Result<Name>>> } : {}),
  });
  return {
    data: query.data?.body,
    etag: query.data?.etag,
    error: query.error,
    isPending: query.isPending && enabled,
    isOld: query.isPlaceholderData,
    again: () => void query.refetch(),
  };
}

const attemptsMax = 4;

/** What may be over in a moment is tried again; a refusal is an answer. */
export function shouldRetry(attempts: number, error: Error): boolean {
  if (attempts >= attemptsMax) return false;
  if (!(error instanceof ApiError)) return true;
  return error.status === 429 || error.status === 503 || error.code === 'idempotency-running';
}

const pauseMsMax = 8_000;

export function retryPauseMs(attempt: number, error: Error): number {
  const askedMs = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
  return Math.max(askedMs, Math.min(pauseMsMax, 300 * 2 ** attempt));
}
