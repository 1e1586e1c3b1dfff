/** For tests: asks a test application as one of its users. */
import { basicAuth } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';

export interface V2Question {
  readonly user?: string;
  readonly version?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface V2Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: unknown;
  /** `faultstring` of an error, or the error's text when it is no JSON. */
  readonly fault: string | undefined;
}

export type V2Ask = (request: string, question?: V2Question) => Promise<V2Reply>;

/** @param server  found when asked: it may be opened later. */
export function makeV2Ask(server: () => TestApp): V2Ask {
  return async (request, { user = 'admin', version, body, headers = {} } = {}) => {
    const [method = '', url = ''] = request.split(' ');
    const answer = await server().app.inject({
      method: toMethod(method),
      url,
      headers: {
        host: 'api.test',
        authorization: basicAuth(user),
        ...(version === undefined ? {} : { 'openstack-api-version': `accelerator ${version}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined
        ? {}
        : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const parsed: unknown = answer.body === '' ? null : JSON.parse(answer.body);
    return {
      status: answer.statusCode,
      headers: answer.headers,
      body: parsed,
      fault: faultOf(parsed),
    };
  };
}

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const;

function toMethod(text: string): (typeof methods)[number] {
  const method = methods.find((one) => one === text);
  if (method === undefined) throw new TypeError(`${text} is no method`);
  return method;
}

function faultOf(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null || !('error_message' in body)) return undefined;
  const text = String(body.error_message);
  if (!text.startsWith('{')) return text;
  const fault: unknown = JSON.parse(text);
  return typeof fault === 'object' && fault !== null && 'faultstring' in fault
    ? String(fault.faultstring)
    : text;
}
