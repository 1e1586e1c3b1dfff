/** From the manifest of a package that was fetched to the process: network only for those that asked and were approved. */
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { containmentFacts } from '@cyborg/driver-host/containment';
import { launchDriver } from '@cyborg/driver-host/launch';
import { probeWall } from '@cyborg/driver-host/wall';
import { digestOf } from '@cyborg/driver-package/digest';
import { inPieces, tarballOf, testEntries } from '@cyborg/driver-package/test-package';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { describe, it } from 'vitest';
import { Packages, openPackagesFolder } from './packages.ts';

const log = makeLogger({ name: 'test', level: 'silent', clock: systemClock });
const wall = await probeWall(process.getuid?.() ?? 0, log);

const connecting = (port: number): string => `
const socket = require('node:net').connect({ host: '127.0.0.1', port: ${port} });
const end = (word) => { process.stderr.write(word); process.exit(0); };
socket.once('connect', () => end('reached'));
socket.once('error', (error) => end(error.code));
`;

async function whatItReaches(permissions: object): Promise<string> {
  const stateDir = await mkdtemp(join(tmpdir(), 'network-permission-'));
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await chmod(stateDir, 0o755);
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const main = { name: 'package/src/main.js', content: connecting(address.port) };
    const entries = testEntries(permissions).filter(({ name }) => name !== main.name);
    const tarball = await tarballOf([...entries, main]);
    const { digest } = await digestOf(inPieces(tarball));
    const packages = new Packages({
      folder: await openPackagesFolder(stateDir),
      trust: { policy: 'warn', keys: [] },
      download: () => inPieces(tarball),
      clock: systemClock,
      log,
    });
    const wanted = {
      id: 'acme',
      version: '1.0.0',
      digest,
      size_bytes: tarball.length,
      signature: null,
    };
    const pkg = await packages.open(wanted, AbortSignal.timeout(30_000));
    const roots = { sysfs: '/sys', proc: '/proc', dev: '/dev' };
    const { execPath } = process;
    const { child } = await launchDriver(pkg, { wall, execPath, roots, stateDir });
    return await text(child.stderr);
  } finally {
    server.close();
    await rm(stateDir, { recursive: true, force: true });
  }
}

describe('a driver from a package', () => {
  it('has a network when its manifest asks for it', async ({ expect }) => {
    expect(await whatItReaches({ permissions: { network: true } })).toBe('reached');
  });

  it('has none when it does not ask, or the host says that it cannot keep it from it', async ({
    expect,
  }) => {
    const said = await whatItReaches({});
    if (containmentFacts(wall)['driver_containment_missing']?.includes('network') === true) {
      expect(said).toBe('reached');
    } else {
      expect(said).toMatch(/^E(NETUNREACH|CONNREFUSED|HOSTUNREACH)$/);
    }
  });
});
