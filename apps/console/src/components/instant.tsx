/** A moment, by how long ago it was; exact on demand. */
import { useSyncExternalStore, type ReactElement } from 'react';

const everyMs = 10_000;
const listeners = new Set<() => void>();
let nowMs = Date.now();
let timer: number | undefined;

function subscribe(listen: () => void): () => void {
  listeners.add(listen);
  timer ??= window.setInterval(() => {
    nowMs = Date.now();
    for (const each of listeners) each();
  }, everyMs);
  return () => {
    listeners.delete(listen);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

function useNowMs(): number {
  return useSyncExternalStore(subscribe, () => nowMs);
}

const steps = [
  { unit: 'second', ms: 1000, below: 60 },
  { unit: 'minute', ms: 60_000, below: 60 },
  { unit: 'hour', ms: 3_600_000, below: 48 },
  { unit: 'day', ms: 86_400_000, below: Number.POSITIVE_INFINITY },
] as const;

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

function ageOf(at: string, atMs: number): string {
  const passedMs = Math.max(0, atMs - Date.parse(at));
  if (passedMs < 10_000) return 'just now';
  const step = steps.find(({ ms, below }) => passedMs / ms < below) ?? steps[3];
  return relative.format(-Math.round(passedMs / step.ms), step.unit);
}

export function Ago({ at }: { at: string }): ReactElement {
  const now = Math.max(useNowMs(), Date.parse(at));
  return (
    <time dateTime={at} title={new Date(at).toLocaleString()}>
      {ageOf(at, now)}
    </time>
  );
}

/** A moment that is to come, by the clock. */
export function Instant({ at }: { at: string }): ReactElement {
  return <time dateTime={at}>{new Date(at).toLocaleTimeString()}</time>;
}
