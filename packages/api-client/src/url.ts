import type { Query } from './transport.ts';

/** `/v3/hosts/:host` and `{host: 'a/b'}` → `/v3/hosts/a%2Fb`. */
export function fillPath(template: string, params: Readonly<Record<string, unknown>>): string {
  return template.replaceAll(/:([a-z_]+)/g, (_whole, name: string) => {
    const value = params[name];
    if (typeof value !== 'string' || value === '') {
      throw new TypeError(
        `The path ${template} needs '${name}', and it is ${JSON.stringify(value)}.`,
      );
    }
    return encodeURIComponent(value);
  });
}

/** `?a=1&b=x&b=y`, or nothing; undefined members are left out. */
export function toQueryString(query: Query | undefined): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined) continue;
    const values = typeof value === 'object' ? value : [value];
    for (const each of values) pairs.append(name, String(each));
  }
  const text = pairs.toString();
  return text === '' ? '' : `?${text}`;
}
