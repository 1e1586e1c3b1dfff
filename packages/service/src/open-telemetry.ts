/** Tracing by OpenTelemetry's SDK. Loaded only when there is somewhere for the spans to go. */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, context, trace } from '@opentelemetry/api';
import type { Attributes, Context, Link, Span, SpanContext, Tracer } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { parseTraceParent } from '@opentelemetry/core';
import type { ExportResult } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { SpanExporter } from '@opentelemetry/sdk-trace';

import { traceFileExporter } from './trace-file.ts';
import type { OpenSpan, SpanAttributes, SpanOptions, Tracing, TracingOptions } from './tracing.ts';

export const traceLimits = {
  /** Spans that wait to be sent; what is more is dropped. */
  queueMax: 8192,
  batchMax: 512,
  exportMs: 10_000,
  /** Between two batches. */
  endpointDelayMs: 2000,
  fileDelayMs: 250,
  attributeCharsMax: 1024,
  /** Between two warnings that traces are lost. */
  warnEveryMs: 60_000,
} as const;

export function openTelemetry(options: TracingOptions): Tracing & AsyncDisposable {
  const { service, version, instance, tracePercent } = options;
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': service,
      'service.version': version,
      'service.instance.id': instance,
    }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(tracePercent / 100) }),
    spanLimits: { attributeValueLengthLimit: traceLimits.attributeCharsMax },
    spanProcessors: exportersOf(options).map(
      ({ exporter, delayMs }) =>
        new BatchSpanProcessor({
          exporter: telling(exporter, options),
          scheduledDelayMillis: delayMs,
          exportTimeoutMillis: traceLimits.exportMs,
          maxQueueSize: traceLimits.queueMax,
          maxExportBatchSize: traceLimits.batchMax,
        }),
    ),
  });
  const tracer = provider.getTracer(service, version);
  return {
    open: (name, how) => open(tracer, name, how),
    outside: (work) => context.with(ROOT_CONTEXT, work),
    traceParent: () => toTraceParent(trace.getSpanContext(context.active())),
    async [Symbol.asyncDispose]() {
      await provider.shutdown();
      context.disable();
    },
  };
}

interface Exporter {
  readonly exporter: SpanExporter;
  readonly delayMs: number;
}

function exportersOf({ traceEndpoint, traceFile }: TracingOptions): Exporter[] {
  const { endpointDelayMs, fileDelayMs, exportMs } = traceLimits;
  const exporters: Exporter[] = [];
  if (traceEndpoint !== undefined) {
    const exporter = new OTLPTraceExporter({
      url: toTracesUrl(traceEndpoint),
      timeoutMillis: exportMs,
    });
    exporters.push({ exporter, delayMs: endpointDelayMs });
  }
  if (traceFile !== undefined) {
    exporters.push({ exporter: traceFileExporter(traceFile), delayMs: fileDelayMs });
  }
  return exporters;
}

/** As OTEL_EXPORTER_OTLP_ENDPOINT is read: a collector's base, below which traces have their path. */
function toTracesUrl(endpoint: string): string {
  const base = endpoint.replace(/\/+$/, '');
  return base.endsWith('/v1/traces') ? base : `${base}/v1/traces`;
}

/** Traces that are lost are worth a word now and then, and nothing more. */
function telling(exporter: SpanExporter, { log }: TracingOptions): SpanExporter {
  let warnedMs = Number.NEGATIVE_INFINITY;
  const tell = (result: ExportResult, spans: number): void => {
    const nowMs = performance.now();
    if (result.error === undefined || nowMs - warnedMs < traceLimits.warnEveryMs) return;
    warnedMs = nowMs;
    log.warn({ err: result.error, spans }, 'traces are lost: they could not be written');
  };
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        tell(result, spans.length);
        done(result);
      }),
    forceFlush: async () => exporter.forceFlush?.(),
    shutdown: () => exporter.shutdown(),
  };
}

const kinds = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;

function open(tracer: Tracer, name: string, options: SpanOptions): OpenSpan | undefined {
  const active = context.active();
  const current = trace.getSpanContext(active);
  const cause = fromTraceParent(options.parent);
  // What runs now is the nearer cause when it is a part of the same trace.
  const given = cause?.traceId === current?.traceId ? undefined : cause;
  if (given === undefined && current === undefined && options.beginsTrace !== true)
    return undefined;
  const parent = given === undefined ? active : trace.setSpanContext(ROOT_CONTEXT, given);
  const others = [
    ...(given !== undefined && current !== undefined ? [current] : []),
    ...(options.links ?? []).flatMap((link) => fromTraceParent(link) ?? []),
  ];
  const own = given?.spanId ?? current?.spanId;
  const links: Link[] = others
    .filter(({ spanId }) => spanId !== own)
    .map((linked) => ({ context: linked }));
  const span = tracer.startSpan(
    name,
    {
      kind: kinds[options.kind ?? 'internal'],
      attributes: toAttributes(options.attributes ?? {}),
      links,
    },
    parent,
  );
  return toOpenSpan(span, trace.setSpan(parent, span));
}

function toOpenSpan(span: Span, inside: Context): OpenSpan {
  return {
    run: (work) => context.with(inside, work),
    set: (attributes) => void span.setAttributes(toAttributes(attributes)),
    rename: (name) => void span.updateName(name),
    fail: (error) => {
      const message = error instanceof Error ? error.message : String(error);
      span.setStatus({
        code: SpanStatusCode.ERROR,
        message: message.slice(0, traceLimits.attributeCharsMax),
      });
    },
    end: () => span.end(),
  };
}

function toAttributes(attributes: SpanAttributes): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]],
    ),
  );
}

function toTraceParent(found: SpanContext | undefined): string | null {
  if (found === undefined) return null;
  const flags = (found.traceFlags & 1).toString().padStart(2, '0');
  return `00-${found.traceId}-${found.spanId}-${flags}`;
}

function fromTraceParent(text: string | null | undefined): SpanContext | undefined {
  if (text === null || text === undefined) return undefined;
  const found = parseTraceParent(text);
  return found === null ? undefined : { ...found, isRemote: true };
}
