import { createServer } from 'node:net';

import { describe, it } from 'vitest';

import { followNotifications, serverOf } from './notifications.ts';

const id = '6d9f2a3e-0f5b-4f6e-9d52-3a5f0e0a7a11';

/** As oslo.messaging wraps it; seen in the lab. */
function message(event: string, data: object = { uuid: id }): object {
  const notification = {
    event_type: event,
    publisher_id: 'nova-compute:node-1',
    payload: { 'nova_object.name': 'InstanceActionPayload', 'nova_object.data': data },
  };
  return { 'oslo.version': '2.0', 'oslo.message': JSON.stringify(notification) };
}

describe("Nova's notifications", () => {
  it('name the server that something has happened to', ({ expect }) => {
    expect(serverOf(message('instance.reboot.end'))).toBe(id);
    expect(serverOf(Buffer.from(JSON.stringify(message('instance.delete.end'))))).toBe(id);
  });

  it('are left alone when they are about something else, or have another shape', ({ expect }) => {
    const others = [
      message('flavor.create'),
      message('instance.delete.end', { name: 'no uuid' }),
      { 'oslo.message': '{' },
      { 'oslo.message': '[]' },
      Buffer.from('no JSON'),
      'no JSON',
      null,
      42,
    ];
    expect(others.map(serverOf)).toEqual(others.map(() => undefined));
  });

  it('that cannot be followed are told of once, and tried again until we stop', async ({
    expect,
  }) => {
    let attempts = 0;
    const secondAttempt = Promise.withResolvers<void>();
    const server = createServer((socket) => {
      attempts += 1;
      socket.destroy();
      if (attempts === 2) secondAttempt.resolve();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const troubles: unknown[] = [];
    {
      await using _ = followNotifications({
        url: `amqp://user:secret@127.0.0.1:${port}/vhost`,
        queue: 'cyborg-test',
        onServer: () => undefined,
        onConnected: () => undefined,
        onTrouble: (error) => troubles.push(error),
      });
      await secondAttempt.promise;
    }
    server.close();
    expect(troubles.length).toBe(1);
  });
});
