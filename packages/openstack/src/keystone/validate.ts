import { malformed } from '../answer.ts';
import type { Exchange } from '../errors.ts';
import { ShapeError } from '../reader.ts';
import type { Session } from '../session.ts';
import { parseToken } from './token.ts';
import type { Token } from './token.ts';

export interface Validation {
  /** Also a token that has expired lately: for work that a service goes on with in a user's name. */
  readonly allowExpired?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

const exchange: Exchange = { service: 'Keystone', method: 'GET', path: '/auth/tokens' };

/**
 * Asks Keystone whose token it is, without its catalogue.
 *
 * @returns undefined when it is expired, revoked or none of Keystone's.
 * @throws {OpenStackError} when Keystone is away, or the session's own account may not ask.
 */
export async function validateToken(
  session: Session,
  subject: string,
  { allowExpired = false, signal, timeoutMs }: Validation = {},
): Promise<Token | undefined> {
  const { status, body } = await session.request({
    ...exchange,
    method: 'GET',
    type: 'identity',
    query: { nocatalog: '', ...(allowExpired ? { allow_expired: '1' } : {}) },
    headers: { 'x-subject-token': subject },
    accept: [404],
    signal,
    timeoutMs,
  });
  if (status === 404) return undefined;
  try {
    return parseToken(body);
  } catch (error) {
    if (error instanceof ShapeError) throw malformed(exchange, error);
    throw error;
  }
}
