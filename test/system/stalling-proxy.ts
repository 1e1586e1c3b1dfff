/** Stands between an agent and its server: no connection gets more than a megabyte of answers through until it is told to. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

const bytesMax = 1024 * 1024;

export class StallingProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Those of the server that have more to say. */
  readonly #stalled = new Set<Socket>();
  #isOpen = false;

  private constructor(port: number) {
    this.#server = createServer((client) => this.#join(client, connect(port, '127.0.0.1')));
  }

  /** @param port  of the server, which need not be there yet. */
  static async open(port: number): Promise<StallingProxy> {
    const proxy = new StallingProxy(port);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return `http://127.0.0.1:${address.port}`;
  }

  get stalledTotal(): number {
    return this.#stalled.size;
  }

  /** From now on everything comes through. */
  release(): void {
    this.#isOpen = true;
    for (const server of this.#stalled) server.resume();
    this.#stalled.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(client: Socket, server: Socket): void {
    let bytes = 0;
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => undefined); // 'close' follows
      one.on('close', () => {
        this.#sockets.delete(one);
        this.#stalled.delete(one);
        other.destroy();
      });
    }
    client.on('data', (chunk: Buffer) => server.write(chunk));
    client.on('end', () => server.end());
    server.on('end', () => client.end());
    server.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      client.write(chunk);
      if (this.#isOpen || bytes < bytesMax) return;
      server.pause();
      this.#stalled.add(server);
    });
  }
}
