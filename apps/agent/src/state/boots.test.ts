import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'vitest';
import { FakeServer } from '../../test/fake-server.ts';
import {
  TestHost,
  instanceOne,
  makeBackend,
  makeInstallation,
  makeOrder,
} from '../../test/agent-under-test.ts';

async function boot(host: TestHost, id: string): Promise<void> {
  const folder = join(host.folder, 'proc/sys/kernel/random');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'boot_id'), `${id}\n`);
}

async function switchOff(host: TestHost): Promise<void> {
  const file = join(host.hypervisorFolder, 'instances', `${instanceOne}.json`);
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replace('"ACTIVE"', '"SHUTOFF"'));
}

it('what a stopped machine has in its configuration is prepared again after its host was started anew', async ({
  expect,
}) => {
  await using server = await FakeServer.start();
  await using host = await TestHost.make(server);
  const roots = { sysfs: '/sys', proc: join(host.folder, 'proc'), dev: '/dev' };
  const observed = (): string[] =>
    server.reports.flatMap(({ observations }) => observations.map((one) => one.observed));
  const start = async (): ReturnType<TestHost['start']> => {
    server.leaseHolder = undefined;
    server.reports.length = 0;
    return await host.start({ roots });
  };
  const backend = makeBackend();
  server.installations = [makeInstallation([backend])];
  const order = makeOrder('attach', { backend_id: backend.id, instance_id: instanceOne });
  await boot(host, 'first');
  const agent = await start();
  server.order(order);
  await server.until('attached', () => server.outcomesOf(order).includes('attached'));
  server.withdraw(order);
  await switchOff(host);
  await agent[Symbol.asyncDispose]();

  // The same run of the kernel: what was prepared is prepared.
  const again = await start();
  await server.until('observed', () => observed().length > 0);
  expect(observed()).toEqual(['plugged']);
  await again[Symbol.asyncDispose]();

  await boot(host, 'second');
  const anew = await start();
  await server.until('observed', () => observed().length > 0);
  expect(observed()).toEqual(['missing']);
  await anew[Symbol.asyncDispose]();

  // It is remembered until it was done.
  await start();
  await server.until('observed', () => observed().length > 0);
  expect(observed()).toEqual(['missing']);
  server.order(order);
  await server.until('observed again', () => observed().length > 1);
  expect(observed()).toEqual(['missing', 'plugged']);
});
