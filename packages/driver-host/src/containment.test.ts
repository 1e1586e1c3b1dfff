import { spawn } from 'node:child_process';
import { readlink } from 'node:fs/promises';
import { text } from 'node:stream/consumers';

import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { describe, it } from 'vitest';

import { containmentFacts, containmentOf } from './containment.ts';
import { ownMounts, probeWall, type Wall } from './wall.ts';

const log = makeLogger({ name: 'test', level: 'silent', clock: systemClock });
const wall = await probeWall(process.getuid?.() ?? 0, log);
const canCutNetwork = wall.namespace.includes('-n');

const asRoot: Wall = {
  kind: 'root',
  namespace: ['unshare', '-n', ...ownMounts],
  canMount: true,
  user: ['setpriv', '--no-new-privs'],
  uid: 65_534,
  mountPoint: '/run/cyborg-drivers',
};

describe('what is said of containment', () => {
  it('names what this machine cannot enforce, and no more', ({ expect }) => {
    expect(containmentOf(asRoot).missing).toEqual([expect.stringContaining('CPU time')]);
    const asUser: Wall = { ...asRoot, kind: 'user', namespace: [], canMount: false, user: [] };
    const { missing } = containmentOf(asUser);
    for (const word of ['credential', 'network', 'mounts', 'privileges', 'processes', 'CPU']) {
      expect(missing.join('; ')).toContain(word);
    }
    expect(containmentFacts(asUser)['driver_containment_missing']).toBe(missing.join('; '));
  });

  it.runIf(canCutNetwork)(
    'is true: a driver is in another network than the agent',
    async ({ expect }) => {
      const [command, ...args] = [...wall.namespace, 'readlink', '/proc/self/ns/net'];
      const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      expect((await text(child.stdout)).trim()).not.toBe(await readlink('/proc/self/ns/net'));
    },
  );
});
