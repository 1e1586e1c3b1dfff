/** Spans as lines of JSON in a file of limited size. */
import { appendFile, rename, stat } from 'node:fs/promises';

import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { HrTime } from '@opentelemetry/api';
import { ExportResultCode, hrTimeToNanoseconds } from '@opentelemetry/core';
import type { ExportResult } from '@opentelemetry/core';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';

export const traceFileLimits = { bytesMax: 64 * 1024 * 1024 } as const;

/** Batches are written one after the other, whole lines each. */
export function traceFileExporter(path: string): SpanExporter {
  let writing = Promise.resolve<ExportResult>({ code: ExportResultCode.SUCCESS });
  return {
    export(spans, done) {
      const lines = spans.map((span) => `${JSON.stringify(toLine(span))}\n`).join('');
      const before = writing;
      writing = written(before, { path, lines });
      void tellWhenWritten(writing, done);
    },
    forceFlush: async () => void (await writing),
    shutdown: async () => void (await writing),
  };
}

async function written(
  before: Promise<unknown>,
  { path, lines }: { path: string; lines: string },
): Promise<ExportResult> {
  await before;
  try {
    await append(path, lines);
    return { code: ExportResultCode.SUCCESS };
  } catch (error) {
    const reason = error instanceof Error ? error : new Error(String(error));
    return { code: ExportResultCode.FAILED, error: reason };
  }
}

async function tellWhenWritten(
  writing: Promise<ExportResult>,
  done: (result: ExportResult) => void,
): Promise<void> {
  done(await writing);
}

async function append(path: string, lines: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if ((found?.size ?? 0) + lines.length > traceFileLimits.bytesMax) await rename(path, `${path}.1`);
  await appendFile(path, lines, { mode: 0o600 });
}

function toLine(span: ReadableSpan): object {
  const { traceId, spanId } = span.spanContext();
  return {
    trace_id: traceId,
    span_id: spanId,
    parent_id: span.parentSpanContext?.spanId ?? null,
    name: span.name,
    kind: SpanKind[span.kind].toLowerCase(),
    service: span.resource.attributes['service.name'],
    instance: span.resource.attributes['service.instance.id'],
    started_at: toDate(span.startTime),
    duration_ms: hrTimeToNanoseconds(span.duration) / 1e6,
    failed: span.status.code === SpanStatusCode.ERROR ? (span.status.message ?? '') : null,
    attributes: span.attributes,
    links: span.links.map(({ context }) => ({
      trace_id: context.traceId,
      span_id: context.spanId,
    })),
  };
}

function toDate([seconds, nanoseconds]: HrTime): string {
  return new Date(seconds * 1000 + nanoseconds / 1e6).toISOString();
}
