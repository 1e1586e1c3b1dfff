/**
 * LISTEN and NOTIFY between replicas: hints, sent outside the hot transactions, on connections of their own.
 * A hint that is lost costs latency only.
 */
import pg from 'pg';

import type { StoreLog } from './log.ts';

export interface NotifierOptions {
  readonly url: string;
  /** Ours; hints of our own are not delivered back. */
  readonly senderId: string;
  readonly log: StoreLog;
  readonly onHint: (topics: readonly string[]) => void;
}

export interface Notifier extends AsyncDisposable {
  /** Queues topics; they go out together a moment later. */
  tell(topics: readonly string[]): void;
}

const channel = 'cyborg_wake';
const gatherMs = 5;
const reconnectMs = 500;
/** NOTIFY takes 8000 bytes; a topic is shorter than 60. */
const topicsPerHintMax = 100;

/** Starts listening; connects again by itself for as long as it is not disposed. */
export function startNotifier(options: NotifierOptions): Notifier {
  const pending = new Set<string>();
  let client: pg.Client | undefined;
  let isStopped = false;
  let sendTimer: NodeJS.Timeout | undefined;
  let reconnectTimer: NodeJS.Timeout | undefined;

  const reconnectLater = (): void => {
    client = undefined;
    if (isStopped || reconnectTimer !== undefined) return;
    reconnectTimer = setTimeout(() => {
      reconnectTimer = undefined;
      void connect();
    }, reconnectMs);
  };
  const connect = async (): Promise<void> => {
    const next = new pg.Client({
      connectionString: options.url,
      application_name: 'cyborg-notify',
    });
    next.on('error', () => reconnectLater());
    next.on('end', () => reconnectLater());
    next.on('notification', ({ payload }) => deliver(options, payload));
    try {
      await next.connect();
      await next.query(`listen ${channel}`);
      client = next;
      if (isStopped) await next.end();
    } catch (error) {
      options.log.warn(
        { err: error },
        'cannot listen for wake-ups; looking again by itself meanwhile',
      );
      reconnectLater();
    }
  };
  const send = async (): Promise<void> => {
    while (pending.size > 0) {
      const topics = [...pending].slice(0, topicsPerHintMax);
      for (const topic of topics) pending.delete(topic);
      const payload = JSON.stringify({ from: options.senderId, topics });
      await client?.query('select pg_notify($1, $2)', [channel, payload]).catch(() => {});
    }
    // Only now may a next timer send: a client takes one statement at a time.
    sendTimer = undefined;
  };
  void connect();
  return {
    tell(topics) {
      for (const topic of topics) pending.add(topic);
      sendTimer ??= setTimeout(() => void send(), gatherMs);
    },
    async [Symbol.asyncDispose]() {
      isStopped = true;
      clearTimeout(sendTimer);
      clearTimeout(reconnectTimer);
      await client?.end().catch(() => {});
    },
  };
}

function deliver(options: NotifierOptions, payload: string | undefined): void {
  const hint = parseHint(payload);
  if (hint !== undefined && hint.from !== options.senderId) options.onHint(hint.topics);
}

function parseHint(payload: string | undefined): { from: string; topics: string[] } | undefined {
  try {
    const value: unknown = JSON.parse(payload ?? '');
    if (typeof value !== 'object' || value === null) return undefined;
    if (!('from' in value) || !('topics' in value) || !Array.isArray(value.topics))
      return undefined;
    return { from: String(value.from), topics: value.topics.map(String) };
  } catch {
    return undefined;
  }
}
