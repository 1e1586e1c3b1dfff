/**
 * Traces: who asked for what, and where it went. Nothing of OpenTelemetry is loaded and no span is made until
 * `startTracing` was told where they go; until then each call here costs a comparison.
 */
import type { Logger } from './logging.ts';

export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>;

export interface SpanOptions {
  /** W3C traceparent of what caused this, when that is not what runs now: a row's, an order's, a request's. */
  readonly parent?: string | null | undefined;
  /** It may begin a trace; otherwise it is a span only as a part of one. */
  readonly beginsTrace?: boolean;
  readonly kind?: 'internal' | 'server' | 'client' | 'producer' | 'consumer';
  readonly attributes?: SpanAttributes;
  /** traceparents of others that this is done for as well. */
  readonly links?: readonly string[];
}

/** Ends when told to. One that is never ended is never told of. */
export interface OpenSpan {
  /** What runs in it has it as its parent. */
  run<Result>(work: () => Result): Result;
  set(attributes: SpanAttributes): void;
  rename(name: string): void;
  fail(error: unknown): void;
  end(): void;
}

export interface Tracing {
  open(name: string, options: SpanOptions): OpenSpan | undefined;
  traceParent(): string | null;
  outside<Result>(work: () => Result): Result;
}

let tracing: Tracing | undefined;

export function isTracing(): boolean {
  return tracing !== undefined;
}

/** W3C traceparent of what runs now, to be written where the work goes on. */
export function traceParent(): string | null {
  return tracing === undefined ? null : tracing.traceParent();
}

/** Undefined: nobody traces, or there is no trace to be a part of. */
export function openSpan(name: string, options: SpanOptions = {}): OpenSpan | undefined {
  return tracing?.open(name, options);
}

/** Runs `work` as a span; ended when it returns, or when its promise settles. */
export function traced<Result>(name: string, options: SpanOptions, work: () => Result): Result {
  const span = tracing?.open(name, options);
  return span === undefined ? work() : runIn(span, work);
}

function runIn<Result>(span: OpenSpan, work: () => Result): Result {
  try {
    const result = span.run(work);
    if (result instanceof Promise) endWith(span, result);
    else span.end();
    return result;
  } catch (error) {
    span.fail(error);
    span.end();
    throw error;
  }
}

function endWith(span: OpenSpan, result: Promise<unknown>): void {
  result.then(
    () => span.end(),
    (error: unknown) => {
      span.fail(error);
      span.end();
    },
  );
}

/** For a request to another service. */
export function traceHeaders(): { readonly traceparent?: string } {
  const parent = traceParent();
  return parent === null ? {} : { traceparent: parent };
}

/** What is begun here and lasts is not a part of what began it. */
export function untraced<Result>(work: () => Result): Result {
  return tracing === undefined ? work() : tracing.outside(work);
}

export interface TracingOptions {
  /** `cyborg-server` */
  readonly service: string;
  readonly version: string;
  /** Of this process among those of the service. */
  readonly instance: string;
  /** A collector that speaks OTLP over HTTP. */
  readonly traceEndpoint: string | undefined;
  /** Spans are appended to it, a JSON object a line. */
  readonly traceFile: string | undefined;
  /** Of the traces that begin here, 1 to 100. */
  readonly tracePercent: number;
  readonly log: Pick<Logger, 'warn'>;
}

/** Does nothing without an endpoint or a file. Disposing sends what waits. One for a process. */
export async function startTracing(options: TracingOptions): Promise<AsyncDisposable> {
  if (options.traceEndpoint === undefined && options.traceFile === undefined) {
    return { [Symbol.asyncDispose]: async () => {} };
  }
  const { openTelemetry } = await import('./open-telemetry.ts');
  const opened = openTelemetry(options);
  tracing = opened;
  return {
    async [Symbol.asyncDispose]() {
      tracing = undefined;
      await opened[Symbol.asyncDispose]();
    },
  };
}
