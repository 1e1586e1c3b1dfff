/** Content negotiation as RFC 9110 has it: quality, then how specific, then the order of the `Accept` header. */
import type { FastifyRequest } from 'fastify';
import accepts from 'accepts';

/** Whether the caller would rather have this type than JSON; a caller who takes neither gets JSON. */
export function prefers({ raw }: Pick<FastifyRequest, 'raw'>, type: string): boolean {
  return accepts(raw).type(['application/json', type]) === type;
}
