/** Server-sent events: a sign of life while nothing happens, an end for readers who are too slow or no longer allowed. */
import { ServiceError } from '@cyborg/model/errors';
import type { Clock } from '@cyborg/service/clock';
import type { FastifyReply, FastifyRequest } from 'fastify';

export const streamLimits = {
  heartbeatMs: 15_000,
  /** What a reader has not taken yet; beyond it the connection is cut, and it may come back with Last-Event-ID. */
  unreadBytesMax: 1024 * 1024,
  streamsMax: 2048,
} as const;

export interface StreamEvent {
  readonly event: string;
  readonly id?: string;
  readonly data: unknown;
}

interface Opening {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** Asked again with every sign of life: a user who was removed reads no further. */
  readonly authenticate: () => Promise<unknown>;
}

export type EventSource = (signal: AbortSignal) => AsyncGenerator<StreamEvent>;

export interface EventStreams {
  /**
   * Answers with what `events` yields, to its end. Its signal is aborted when the reader is gone, the server stops or
   * the caller is no longer known.
   */
  open(opening: Opening, events: EventSource): Promise<FastifyReply>;
}

export function makeEventStreams({
  clock,
  closing,
  log,
}: {
  clock: Clock;
  closing: AbortSignal;
  log: { error(fields: object, message: string): void };
}): EventStreams {
  let open = 0;
  return {
    async open({ request, reply, authenticate }, events) {
      if (open >= streamLimits.streamsMax) {
        throw new ServiceError('unavailable', 'Too many streams are open: ask again shortly.');
      }
      const gone = new AbortController();
      const ended = AbortSignal.any([gone.signal, closing]);
      const { raw } = reply.hijack();
      raw.on('close', () => gone.abort());
      raw.on('error', () => gone.abort());
      raw.writeHead(200, {
        ...headersOf(reply),
        'content-type': 'text/event-stream; charset=utf-8',
        'x-accel-buffering': 'no',
        connection: 'close',
      });
      raw.flushHeaders();
      open += 1;
      const life = beat({ clock, ended }, async () => {
        raw.write(':\n\n');
        if ((await authenticate()) === undefined) gone.abort();
      });
      try {
        for await (const event of events(ended)) {
          raw.write(toText(event));
          if (raw.writableLength > streamLimits.unreadBytesMax) raw.destroy();
          if (ended.aborted || raw.destroyed) break;
        }
      } catch (error) {
        if (!ended.aborted) log.error({ err: error, requestId: request.id }, 'a stream failed');
      } finally {
        open -= 1;
        gone.abort();
        await life;
        raw.end();
      }
      return reply;
    },
  };
}

async function beat(
  { clock, ended }: { clock: Clock; ended: AbortSignal },
  onBeat: () => Promise<void>,
): Promise<void> {
  while (!ended.aborted) {
    await clock.sleep(streamLimits.heartbeatMs, ended).catch(() => {});
    if (!ended.aborted) await onBeat().catch(() => {});
  }
}

function headersOf(reply: FastifyReply): Record<string, string | number | string[]> {
  return Object.fromEntries(
    Object.entries(reply.getHeaders()).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]],
    ),
  );
}

function toText({ event, id, data }: StreamEvent): string {
  const idLine = id === undefined ? '' : `id: ${id}\n`;
  return `event: ${event}\n${idLine}data: ${JSON.stringify(data)}\n\n`;
}
