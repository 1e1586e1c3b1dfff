/** Which path a v2 request means: with and without `/accelerator` and `/v2`, a trailing slash, a `.json`. */
export const v2Collections = [
  'devices',
  'deployables',
  'attributes',
  'device_profiles',
  'accelerator_requests',
] as const;

const collection = `(?:${v2Collections.join('|')})`;
const versioned = /^(?:\/accelerator)?\/v2(?=$|[/.])/;
const bare = new RegExp(`^(?:/accelerator)?(?=/${collection}(?:$|[/.]))`);
const root = /^\/accelerator\/?$/;

/** @returns the url under `/v2` for what is v2's; any other as it is. */
export function toV2Url(url: string): string {
  const [, path = '', rest = ''] = /^([^?]*)(.*)$/s.exec(url) ?? [];
  if (root.test(path)) return `/${rest}`;
  const prefix = versioned.test(path) ? versioned : bare.test(path) ? bare : undefined;
  if (prefix === undefined) return url;
  const below = path
    .replace(prefix, '')
    .replace(/\/+$/, '')
    .replace(/\.json$/, '');
  return `/v2${below}${rest}`;
}

export function isV2Url(url: string): boolean {
  return /^\/v2(?=$|[/?])/.test(url);
}
