/** A socket in the state directory, for whoever may enter it: says what the agent knows, takes nothing. */
import { once } from 'node:events';
import { chmod, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { messageOf } from '../hypervisors/node-error.ts';
import type { Log } from '../log.ts';

/** The kernel's `sun_path` has 108 bytes with its closing zero. */
const socketPathBytesMax = 107;
const answerTimeoutMs = 10_000;
const connectionsMax = 4;

export const inspectSocketName = 'inspect.sock';

export interface InspectSocketDeps {
  readonly stateDir: string;
  readonly say: () => object;
  readonly log: Log;
}

/** Never keeps the agent from its work: without it cyborg-inspect says that the agent cannot be asked. */
export async function answerInspection(
  { stateDir, say, log }: InspectSocketDeps,
  signal: AbortSignal,
): Promise<void> {
  const path = join(stateDir, inspectSocketName);
  if (Buffer.byteLength(path) > socketPathBytesMax) {
    log.debug({ path }, 'the state directory is too deep for a socket: cyborg-inspect cannot ask');
    return;
  }
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.setTimeout(answerTimeoutMs, () => socket.destroy());
    socket.resume().end(`${JSON.stringify(say())}\n`);
  });
  server.maxConnections = connectionsMax;
  const end = (): void => void server.close();
  signal.addEventListener('abort', end, { once: true });
  try {
    // The host lock says that nobody else listens there.
    await rm(path, { force: true });
    server.listen(path);
    await once(server, 'listening', { signal });
    await chmod(path, 0o600);
    await once(server, 'close');
  } catch (error) {
    if (!signal.aborted) log.warn({ path, reason: messageOf(error) }, 'cyborg-inspect cannot ask');
  } finally {
    signal.removeEventListener('abort', end);
  }
}
