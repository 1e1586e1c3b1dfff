/**
 * One agent per state directory: an abstract unix socket, which the kernel frees when its process dies, however it dies.
 * (One agent per host, wherever its state is, is the server's lease.)
 */
import { createHash } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { hasCode } from '../hypervisors/node-error.ts';

const answerTimeoutMs = 1_000;
const answerBytesMax = 256;

export class HostLocked extends Error {
  override readonly name = 'HostLocked';
}

/** @param stateDir  real path. @throws HostLocked naming the process that holds it. */
export async function lockHost(stateDir: string, pid: number): Promise<AsyncDisposable> {
  const digest = createHash('sha256').update(stateDir).digest('hex').slice(0, 32);
  const name = `\0cyborg-agent-${digest}`;
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(`${pid}\n`);
  });
  server.unref();
  try {
    server.listen(name);
    await once(server, 'listening');
  } catch (error) {
    if (!hasCode(error, 'EADDRINUSE')) throw error;
    const holder = await askPid(name);
    throw new HostLocked(
      `Another agent (${holder}) already runs with the state directory ${stateDir}: stop it first, or give this one another --state-dir.`,
    );
  }
  return {
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
      }),
  };
}

async function askPid(name: string): Promise<string> {
  return await new Promise((resolve) => {
    let text = '';
    const socket = connect(name);
    const settle = (): void => {
      socket.destroy();
      resolve(/^\d+\s*$/.test(text) ? `process ${text.trim()}` : 'its process id is not known');
    };
    socket.setTimeout(answerTimeoutMs, settle);
    socket.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString('latin1')).slice(0, answerBytesMax);
    });
    socket.once('end', settle);
    socket.once('error', settle);
  });
}
