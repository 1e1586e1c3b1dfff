/** Changing things: one idempotency key an act, however often it has to be sent. */
import { useMutation, useQuery } from '@tanstack/react-query';
import { useEffect, useRef } from 'react';

import { ApiError } from '@cyborg/api-client/errors';
import { v3Routes } from '@cyborg/api-client/routes';

import { useRefresh } from '../live/live.tsx';
import { useCall, type Args, type OperationName, type Result } from './call.ts';
import { nounsOfAct, type ActName } from './nouns.ts';
import { retryPauseMs, shouldRetry } from './read.ts';

export type Rehearsal = Extract<Result<'deleteAttachments'>, { readonly dry_run: true }>;
export type CarriedOut<Name extends OperationName> = Exclude<
  Result<Name>,
  { readonly dry_run: true }
>;

export interface Acting<Name extends OperationName> {
  readonly run: (args: Args<Name>) => Promise<CarriedOut<Name>>;
  readonly isRunning: boolean;
  readonly error: Error | null;
  readonly reset: () => void;
}

interface Attempt {
  readonly wish: string;
  readonly key: string;
}

/** @param ifMatch  the ETag of what is shown: it is sent as it is then, not as it was when the button was pressed. */
export function useAct<Name extends ActName>(name: Name, ifMatch?: string): Acting<Name> {
  const call = useCall();
  const refresh = useRefresh();
  const etag = useLatest(ifMatch);
  // The same wish again after a failure is the same act: perhaps it was carried out and its answer lost.
  const last = useRef<Attempt | undefined>(undefined);
  const takesKey = v3Routes[name].method === 'POST' || v3Routes[name].method === 'PUT';
  const mutation = useMutation({
    mutationFn: async (args: Args<Name>) => {
      // What the last act made old is not what this one is about to change: the page shows it anew first.
      await refresh.whenRead();
      const wish = JSON.stringify(args);
      const attempt =
        last.current?.wish === wish ? last.current : { wish, key: crypto.randomUUID() };
      last.current = attempt;
      const idempotencyKey = takesKey ? attempt.key : undefined;
      const { body } = await call(name, args, { idempotencyKey, ifMatch: etag.current });
      last.current = undefined;
      return body;
    },
    retry: shouldRetry,
    retryDelay: retryPauseMs,
    onSuccess: () => refresh.ofAct(nounsOfAct(name)),
    onError: (error) => {
      if (isStaleEdit(error)) refresh.ofAct(nounsOfAct(name));
    },
  });
  return {
    run: async (args) => {
      const body = await mutation.mutateAsync(args);
      if (isRehearsal(body)) throw new TypeError('An act was answered as a rehearsal.');
      return body as CarriedOut<Name>;
    },
    isRunning: mutation.isPending,
    error: mutation.error,
    reset: mutation.reset,
  };
}

function useLatest<T>(value: T): { readonly current: T } {
  const latest = useRef(value);
  useEffect(() => {
    latest.current = value;
  }, [value]);
  return latest;
}

export function isStaleEdit(error: Error): boolean {
  return error instanceof ApiError && error.code === 'stale-edit';
}

export function isRehearsal(body: unknown): body is Rehearsal {
  return typeof body === 'object' && body !== null && 'dry_run' in body && body.dry_run === true;
}

export interface Rehearsing {
  readonly rehearsal: Rehearsal | undefined;
  readonly error: Error | null;
  readonly isPending: boolean;
}

/** What an act would do, asked of the server: the same planner, nothing changed. */
export function useRehearsal<Name extends OperationName>(
  name: Name,
  args: Args<Name> | undefined,
): Rehearsing {
  const call = useCall();
  const query = useQuery({
    queryKey: ['rehearsal', name, args],
    queryFn: async ({ signal }) => {
      const answer = await call(name, withDryRun(args), { signal });
      const body: unknown = answer.body;
      if (!isRehearsal(body)) throw new TypeError('A rehearsal was answered as an act.');
      return body;
    },
    enabled: args !== undefined,
    staleTime: 0,
    gcTime: 0,
    retry: false,
  });
  return {
    rehearsal: query.data,
    error: query.error,
    isPending: query.isPending && args !== undefined,
  };
}

function withDryRun<Name extends OperationName>(args: Args<Name> | undefined): Args<Name> {
  const given: { readonly query?: object | undefined } = args ?? {};
  // Every changing operation takes it (a server test says so), which its type does not tell here.
  return { ...given, query: { ...given.query, dry_run: true } } as unknown as Args<Name>;
}
