/** 404 or 405 for what no route of v2 takes, as upstream's router decides. */
import { v2Collections } from './paths.ts';

const verbs = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD']);
const known = new RegExp(`^(/(${v2Collections.join('|')})(/[^/]+)?)?$`);
const action = /^\/(devices|deployables)\/[^/]+\/[^/]+$/;

/** @param path  below `/v2`. */
export function statusOfWrongWay(method: string, path: string): 404 | 405 {
  if (!verbs.has(method)) return 404;
  // Without an id there is nothing to patch.
  if (method === 'PATCH' && path === '/deployables') return 404;
  if (action.test(path)) return method === 'POST' || method === 'PUT' ? 405 : 404;
  return known.test(path) ? 405 : 404;
}
