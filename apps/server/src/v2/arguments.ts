/** What a request brings along, refused in upstream's words. */
import { V2Fault } from '@cyborg/model/v2/fault';

import type { V2Route } from './route.ts';

const filterPattern = /^filters(\[\d{1,3}\])?\.(field|value)$/;

/** @throws V2Fault 400 for an argument that the route does not know. */
export function parseQuery(
  search: string,
  { query: known = [] }: Pick<V2Route, 'query'>,
): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(search)) {
    const isFilter = known.includes('filters') && filterPattern.test(name);
    const isKnown = isFilter || (name !== 'filters' && known.includes(name));
    if (!isKnown) {
      throw new V2Fault(400, `Unknown argument: "${name.slice(0, 200)}"`);
    }
    found[name] = value;
  }
  return found;
}

/** @throws V2Fault 400 `Missing argument: "name"` */
export function needed(query: Readonly<Record<string, string>>, name: string): string {
  const value = query[name];
  if (value === undefined) throw missingArgument(name);
  return value;
}

export function missingArgument(name: string): V2Fault {
  return new V2Fault(400, `Missing argument: "${name}"`);
}

const jsonTypes = new Set(['application/json', 'application/javascript', 'text/javascript']);

/**
 * @param contentType  of the header, undefined when there is none.
 * @throws V2Fault 415 for another type, 400 for nothing at all or for what is no JSON.
 */
export function parseBody(
  text: string,
  contentType: string | undefined,
  { body: name }: Pick<V2Route, 'body'>,
): unknown {
  if (name === undefined) return undefined;
  if (text === '') throw missingArgument(name);
  const type = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (!jsonTypes.has(type)) throw new V2Fault(415, `Unknown mimetype: ${type}`);
  try {
    return JSON.parse(text);
  } catch {
    throw new V2Fault(400, 'Request is not in valid JSON format');
  }
}

/** Everything v2 answers is JSON; a client without wishes takes it. */
export function acceptsJson(accept: string | undefined): boolean {
  if (accept === undefined || accept.trim() === '') return true;
  return accept.split(',').some((part) => {
    const [type = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
    const isRefused = parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
    return !isRefused && ['*/*', 'application/*', 'application/json'].includes(type);
  });
}
