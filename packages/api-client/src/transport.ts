/** What the typed clients need of HTTP. No Node import: a browser brings a transport of its own. */
export type QueryValue = string | number | boolean;
export type Query = Readonly<Record<string, QueryValue | readonly QueryValue[] | undefined>>;
export type Headers = Readonly<Record<string, string>>;

export interface HttpRequest {
  readonly method: string;
  /** Absolute path, already encoded; a base URL's own path is put before it. */
  readonly path: string;
  readonly query?: Query | undefined;
  readonly headers?: Headers | undefined;
  /** Sent as JSON, or, when it can be iterated asynchronously, as the bytes it gives; absent = no body. */
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
  /** For one attempt, answer included; absent = the client's. */
  readonly timeoutMs?: number | undefined;
}

export interface HttpResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Headers;
  /** Parsed JSON; text when the answer is not JSON; null when there is none. */
  readonly body: unknown;
}

export interface Transport {
  /** @throws ApiError for a status of 400 and above; ConnectionError when there is no answer. */
  request(request: HttpRequest): Promise<HttpResponse>;
}

/** One event of a `text/event-stream`. */
export interface SseEvent {
  readonly event: string;
  readonly data: string;
  /** The last id the stream gave, also when an earlier event gave it. */
  readonly id: string | undefined;
}
