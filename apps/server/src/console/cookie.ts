/** The session cookie: for this host alone, not for scripts, not for what other sites ask of us. */
import type { FastifyRequest } from 'fastify';

/** `__Host-`: browsers take it only over TLS, for this host and every path. */
const names = { secure: '__Host-cyborg-session', plain: 'cyborg-session' } as const;
/** Browsers keep at most 4,096 bytes of name, value and attributes. */
export const cookieCharsMax = 3_900;

function nameFor(request: Pick<FastifyRequest, 'protocol'>, isBehindProxy: boolean): string {
  return isSecure(request, isBehindProxy) ? names.secure : names.plain;
}

function isSecure({ protocol }: Pick<FastifyRequest, 'protocol'>, isBehindProxy: boolean): boolean {
  return isBehindProxy || protocol === 'https';
}

export function readCookie(
  request: Pick<FastifyRequest, 'protocol' | 'headers'>,
  isBehindProxy: boolean,
): string | undefined {
  const start = `${nameFor(request, isBehindProxy)}=`;
  const pairs = (request.headers.cookie ?? '').split(';').map((pair) => pair.trim());
  const value = pairs.find((pair) => pair.startsWith(start))?.slice(start.length);
  return value === undefined || value === '' || value.length > cookieCharsMax ? undefined : value;
}

/** Without `value`: the browser forgets it. It forgets any when it is closed. */
export function cookieText(
  request: Pick<FastifyRequest, 'protocol'>,
  { isBehindProxy, value }: { isBehindProxy: boolean; value: string | undefined },
): string {
  const secure = isSecure(request, isBehindProxy) ? '; Secure' : '';
  const end = value === undefined ? '; Max-Age=0' : '';
  const name = nameFor(request, isBehindProxy);
  return `${name}=${value ?? ''}; Path=/; HttpOnly; SameSite=Strict${secure}${end}`;
}
