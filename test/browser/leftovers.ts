/** What a test leaves when it fails half-way is taken away: it may be tried again, and others look at the same fleet. */
import type { V3Client } from '@cyborg/api-client/v3';
import { carriedOut } from '@cyborg/testing/carried-out';
import { eventually } from '@cyborg/testing/processes';

const goneMs = 180_000;

/** In this order, at the end; what cannot be done is not there. */
export function atTheEnd(...acts: readonly (() => Promise<unknown>)[]): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      for (const act of acts) await act().catch(() => undefined);
    },
  };
}

/** @returns what takes a driver from all hosts, and waits for it. */
export function uninstalling(
  v3: V3Client,
  driver_id: string,
  { force = false } = {},
): () => Promise<void> {
  return async () => {
    const answer = await v3.uninstallDriver({ params: { driver_id }, query: { force } });
    const { id } = carriedOut(answer);
    await eventually(
      async () => (await v3.showOperation({ params: { id } })).state === 'succeeded',
      { timeoutMs: goneMs, what: `${driver_id} is uninstalled` },
    );
  };
}
