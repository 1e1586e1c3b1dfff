/** Links of v2 objects: always under `/accelerator`, wherever the server is mounted. */
export interface V2Link {
  readonly href: string;
  readonly rel: 'self' | 'bookmark';
}

/** @param base  scheme and host as the client used them. */
export function selfLink(base: string, resource: string, id: string): V2Link {
  return { href: `${base}/accelerator/v2/${resource}/${id}`, rel: 'self' };
}

export function bookmarkLink(base: string, resource: string, id: string): V2Link {
  return { href: `${base}/accelerator/${resource}/${id}`, rel: 'bookmark' };
}
