/** Changing things: one idempotency key an act, however often it has to be sent. */
import { useMutation, useQuery } from '@tanstack/react-query';
import { useRef } from 'react';

import { v3Routes } from '@cyborg/api-client/routes';

import { useCall, type Args, type OperationName, type Result } from './call.ts';
import { retryPauseMs, shouldRetry } from './read.ts';

export type Rehearsal = Extract<Result<'deleteAttachments'>, { readonly dry_run: true }>;
export type CarriedOut<Name extends OperationName> = Exclude<
  Result<Name>,
  { readonly dry_run: true }
>;

export interface Acting<Name extends OperationName> {
  readonly run: (
    args: Args<Name>,
    options?: { readonly ifMatch?: string | undefined },
  ) => Promise<CarriedOut<Name>>;
  readonly isRunning: boolean;
  readonly error: Error | null;
  readonly reset: () => void;
}

interface Attempt {
  readonly wish: string;
  readonly key: string;
}

export function useAct<Name extends OperationName>(name: Name): Acting<Name> {
  const call = useCall();
  // The same wish again after a failure is the same act: perhaps it was carried out and its answer lost.
  const last = useRef<Attempt | undefined>(undefined);
  const takesKey = v3Routes[name].method === 'POST' || v3Routes[name].method === 'PUT';
  const mutation = useMutation({
    mutationFn: async ({ args, ifMatch }: { args: Args<Name>; ifMatch: string | undefined }) => {
      const wish = JSON.stringify(args);
      const attempt =
        last.current?.wish === wish ? last.current : { wish, key: crypto.randomUUID() };
      last.current = attempt;
      const idempotencyKey = takesKey ? attempt.key : undefined;
      const { body } = await call(name, args, { idempotencyKey, ifMatch });
      last.current = undefined;
      return body;
    },
    retry: shouldRetry,
    retryDelay: retryPauseMs,
  });
  return {
    run: async (args, { ifMatch } = {}) => {
      const body = await mutation.mutateAsync({ args, ifMatch });
      if (isRehearsal(body)) throw new TypeError('An act was answered as a rehearsal.');
      return body as CarriedOut<Name>;
    },
    isRunning: mutation.isPending,
    error: mutation.error,
    reset: mutation.reset,
  };
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
