import { withDeadline } from '@cyborg/service/deadline';
import type { Clock } from '@cyborg/service/clock';
import type { FastifyRequest } from 'fastify';

/** What a refused request still sends is read and thrown away up to here; beyond it the connection is cut. */
const unread = { bytesMax: 64 * 1024 * 1024, timeoutMs: 10_000 } as const;

/**
 * Answering and closing while a body still arrives resets the connection, and the caller may lose the answer that says
 * why: so the rest is read first, where it has an end in sight.
 */
export async function readToEnd(
  { raw }: Pick<FastifyRequest, 'raw'>,
  { clock }: { readonly clock: Clock },
): Promise<void> {
  const length = Number(raw.headers['content-length'] ?? Number.NaN);
  if (raw.readableEnded || raw.destroyed || !(length <= unread.bytesMax)) return;
  const read = new Promise((resolve) => {
    raw.once('end', resolve);
    raw.once('close', resolve);
    raw.resume();
  });
  await withDeadline(() => read, {
    clock,
    timeoutMs: unread.timeoutMs,
    what: 'reading the rest of a refused body',
  }).catch(() => undefined); // cut off then, as a body without an end is
}
