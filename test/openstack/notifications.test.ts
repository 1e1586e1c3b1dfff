import { followNotifications } from '@cyborg/openstack/notifications';
import { describe, it } from 'vitest';

import { labSettings, needsLab } from './lab.ts';
import { bootActive } from './servers.ts';
import { until } from './until.ts';

needsLab();

describe("Nova's notifications", () => {
  it('tell of a server that is rebooted', { timeout: 300_000 }, async ({ expect }) => {
    const server = await bootActive({ flavor: 't1.tiny' });
    const heard: string[] = [];
    const connected = Promise.withResolvers<void>();
    await using _ = followNotifications({
      url: `amqp://ostb:${labSettings().password}@127.0.0.1:5672/ostb`,
      queue: `cyborg-test-${server.id}`,
      onServer: (id) => heard.push(id),
      onConnected: () => connected.resolve(),
      onTrouble: (error) => connected.reject(error),
    });
    await connected.promise;
    await server.act({ reboot: { type: 'HARD' } });
    await until({ what: 'the reboot is heard of', seconds: 60 }, async () =>
      heard.includes(server.id) ? true : undefined,
    );
    await server.reach('ACTIVE');
    expect(new Set(heard).has(server.id)).toBe(true);
  });
});
