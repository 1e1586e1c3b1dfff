/**
 * For tests of the command line: a real HTTP server whose requests and answers are checked against the schemas of the API,
 * so that this server cannot drift from the real one.
 */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';

import { ProblemSchema } from '@cyborg/api-spec/common';
import { v3Routes, type V3OperationName } from '@cyborg/api-spec/routes';
import { v3Operations } from '@cyborg/api-spec/v3';
import { OperationSchema } from '@cyborg/api-spec/v3/operations';
import { Value } from 'typebox/value';

import type { Operation } from './things.ts';

export interface Call {
  readonly name: V3OperationName;
  readonly params: Record<string, string>;
  readonly query: Record<string, unknown>;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}
/** Sends the operation's states as a stream; `cut` breaks the connection after them. */
interface StreamAnswer {
  readonly stream: readonly Operation[];
  readonly cut?: boolean;
  /** Keeps the connection open and says nothing more. */
  readonly hold?: boolean;
}
export type Answer = { readonly status: number; readonly body: unknown } | StreamAnswer | 'hang-up';
type Handler = (call: Call) => Answer;
export type Handlers = Partial<Record<V3OperationName, Handler>>;

export class ApiServer {
  readonly calls: Call[] = [];
  readonly violations: string[] = [];
  handlers: Handlers = {};
  readonly #server = http.createServer((request, response) => this.#read(request, response));

  async start(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done));
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return `http://127.0.0.1:${address.port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #read(request: IncomingMessage, response: ServerResponse): void {
    let text = '';
    request.on('data', (chunk) => (text += String(chunk)));
    request.on('end', () => {
      const call = this.#toCall(request, text === '' ? undefined : JSON.parse(text));
      if (call === undefined) return void response.writeHead(404).end();
      this.calls.push(call);
      this.#check(call);
      const answer = this.handlers[call.name]?.(call) ?? problem(404, 'no-such-route', 'not set');
      this.#send(call, answer, response);
    });
  }

  #toCall(request: IncomingMessage, body: unknown): Call | undefined {
    const url = new URL(request.url ?? '', 'http://x');
    for (const name of names) {
      const { method, url: template } = v3Routes[name];
      const pattern = new RegExp(`^${template.replaceAll(/:([a-z_]+)/g, '(?<$1>[^/]+)')}$`);
      const match = pattern.exec(url.pathname);
      if (method !== request.method || match === null) continue;
      const params = Object.entries(match.groups ?? {}).map(([k, v]) => [k, decodeURIComponent(v)]);
      const query: Record<string, unknown> = {};
      for (const key of url.searchParams.keys()) {
        const values = url.searchParams.getAll(key);
        query[key] = values.length > 1 ? values : values[0];
      }
      return { name, params: Object.fromEntries(params), query, headers: request.headers, body };
    }
    this.violations.push(`no route for ${request.method} ${url.pathname}`);
    return undefined;
  }

  #check({ name, params, query, body }: Call): void {
    const schema: Record<string, unknown> = v3Operations[name].schema;
    this.#validate(`${name} params`, schema['params'], params);
    this.#validate(
      `${name} query`,
      schema['querystring'],
      Value.Convert(any(schema['querystring']), query),
    );
    this.#validate(`${name} body`, schema['body'], body);
  }

  #validate(what: string, schema: unknown, value: unknown): void {
    if (schema === undefined || Value.Check(any(schema), value)) return;
    this.violations.push(
      `${what}: ${JSON.stringify(value)}: ${JSON.stringify(Value.Errors(any(schema), value)[0])}`,
    );
  }

  #send(call: Call, answer: Answer, response: ServerResponse): void {
    if (answer === 'hang-up') return void response.socket?.destroy();
    if ('stream' in answer) return this.#stream(answer, response);
    const responses: Record<string, unknown> = v3Operations[call.name].schema.response;
    const schema = answer.status >= 400 ? ProblemSchema : responses[String(answer.status)];
    this.#validate(`${call.name} answer ${answer.status}`, schema ?? false, answer.body);
    response.writeHead(answer.status, { 'content-type': 'application/json' });
    response.end(answer.status === 204 ? '' : JSON.stringify(answer.body));
  }

  #stream({ stream, cut, hold }: StreamAnswer, response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    for (const [at, operation] of stream.entries()) {
      this.#validate('stream', OperationSchema, operation);
      response.write(`id: ${at}\nevent: operation\ndata: ${JSON.stringify(operation)}\n\n`);
    }
    if (cut === true) response.socket?.destroySoon();
    else if (hold !== true) response.end();
  }
}

const names = Object.keys(v3Routes).filter((name): name is V3OperationName => name in v3Operations);
const any = (schema: unknown): object =>
  typeof schema === 'object' && schema !== null ? schema : {};

// oxlint-disable-next-line max-params -- reads as the problem does
export const problem = (
  status: number,
  code: string,
  detail: string,
  extra: object = {},
): Answer => ({
  status,
  body: {
    type: `urn:cyborg:${code}`,
    title: code,
    status,
    code,
    detail,
    instance: 'req-1',
    ...extra,
  },
});
export const ok = (body: unknown, status = 200): Answer => ({ status, body });
export const page = (...items: unknown[]): Answer => ok({ items, next: null });
