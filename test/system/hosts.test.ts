/** Hosts that are revoked and enrolled again; a server that is stopped politely. */
import { request as httpRequest } from 'node:http';

import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { Fleet } from './fleet.ts';
import { settled } from './settled.ts';

const noticeMs = 60_000;

describe('a host', () => {
  it('that is revoked says nothing more and keeps what is plugged; enrolled again it goes on', async ({
    expect,
  }) => {
    await using fleet = await Fleet.open();
    await fleet.startServer();
    const [host] = await fleet.addHosts(['host-1']);
    await fleet.installVirtual(['host-1'], { crypto: 2, entropy: 0 });
    const vm = await fleet.instance('host-1');
    await fleet.attach(vm);
    const before = host?.devices();

    await fleet.cliJson('host-revoke', 'host-1');
    await eventually(() => host?.agent?.output().includes('refuses this host'), {
      timeoutMs: noticeMs,
      what: 'the agent hears of it',
      context: () => fleet.logs(),
    });
    expect(host?.devices()).toEqual(before);
    await expect(fleet.requestAttach(vm)).rejects.toMatchObject({ status: 409 });

    const { token } = await fleet.cliJson<{ token: string }>('host-reenroll', 'host-1');
    await host?.agent?.end();
    const again = host?.start(['--join-token', token]);
    await eventually(() => again?.output().includes('holding the lease'), {
      timeoutMs: noticeMs,
      what: 'the host is enrolled again',
      context: () => fleet.logs(),
    });
    await fleet.untilAttachable();
    expect(await fleet.accelerators({ state: 'attached' })).toHaveLength(1);
    await settled(fleet);
    await fleet.attach(vm);
    await fleet.detach(vm);
    expect(host?.devices()).toEqual([]);

    // A token is used once, and only for its host.
    const second = fleet.layOutHost('host-2', {});
    await using other = second.start(['--join-token', token]);
    await eventually(() => other.output().includes('cannot enrol yet'), {
      timeoutMs: noticeMs,
      what: 'the used token is refused',
      context: () => other.output(),
    });
    expect((await fleet.v3.listHosts({ query: {} })).items).toHaveLength(1);
    await settled(fleet);
  });
});

describe('a server that is asked to stop', () => {
  it('finishes the requests in flight and ends with status 0', async ({ expect }) => {
    await using fleet = await Fleet.open();
    const server = await fleet.startServer();
    const [host] = await fleet.addHosts(['host-1']);
    await fleet.installVirtual(['host-1'], { crypto: 1, entropy: 0 });
    const vm = await fleet.instance('host-1');
    const slow = beginSlowly(`${fleet.url}/v3/instances/${vm}/attachments`);
    await slow.begun;

    const ended = server.end('SIGTERM');
    await eventually(
      async () => {
        const health = await fleet.http
          .request({ method: 'GET', path: '/healthz' })
          .catch(() => undefined);
        return health === undefined;
      },
      {
        timeoutMs: noticeMs,
        what: 'the server takes no new requests',
        context: () => fleet.logs(),
      },
    );
    const { status, id } = await slow.finish();

    expect(status).toBe(202);
    expect(await ended).toBe(0);
    await fleet.startServer();
    await fleet.done({ id });
    await settled(fleet);
    expect(host?.devices()).toHaveLength(1);
  });
});

interface SlowRequest {
  readonly begun: Promise<void>;
  finish(): Promise<{ status: number; id: string }>;
}

/** A POST whose body takes its time. */
function beginSlowly(url: string): SlowRequest {
  const body = JSON.stringify({ count: 1 });
  // The server says 100 when it has read the head: before that it has nothing in flight that it could finish.
  const headers = {
    'content-type': 'application/json',
    'content-length': body.length,
    expect: '100-continue',
  };
  const request = httpRequest(url, { method: 'POST', headers });
  const answer = new Promise<{ status: number; id: string }>((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => {
        const { id }: { id: string } = JSON.parse(text);
        resolve({ status: response.statusCode ?? 0, id });
      });
    });
  });
  const begun = new Promise<void>((resolve) => {
    request.on('continue', () => request.write(body.slice(0, 4), () => resolve()));
    request.flushHeaders();
  });
  return {
    begun,
    finish: () => {
      request.end(body.slice(4));
      return answer;
    },
  };
}
