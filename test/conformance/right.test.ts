/** The kit passes the drivers that conform: in TypeScript with the SDK, without it, and in Python. */
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readPackage } from '@cyborg/driver-host/catalogue';
import { textOf } from '@cyborg/driver-test/report';
import { SpdkDaemon } from '@cyborg/testing/spdk-daemon';
import { afterAll, describe, it } from 'vitest';
import { kitTimeoutMs, runKit } from './run-kit.ts';

const root = join(import.meta.dirname, '../..');
const passed: string[] = [];
/** Where drivers look for it. */
const hasPython = ['/usr/bin', '/bin', '/usr/sbin', '/sbin'].some((folder) =>
  existsSync(join(folder, 'python3')),
);

describe('a driver that conforms passes every clause', { timeout: kitTimeoutMs }, () => {
  it.for(['drivers/fake', 'drivers/generic', 'drivers/sample-python'])(
    '%s',
    async (folder, { expect, skip }) => {
      const needsPython = folder.endsWith('-python');
      skip(needsPython && !hasPython && process.env['CI'] !== 'true', 'python3 is not installed');
      const report = await runKit(await readPackage(join(root, folder)));
      expect(report.passed, textOf(report)).toBe(true);
      passed.push(report.driver.id);
    },
  );

  it('drivers/spdk, with a daemon that replays SPDK', async ({ expect, onTestFinished }) => {
    const folder = mkdtempSync(join(tmpdir(), 'cyborg-spdk-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    chmodSync(folder, 0o755); // the driver is another user
    const socket = join(folder, 'rpc.sock');
    await using daemon = await SpdkDaemon.open(socket);
    const pools = [
      { kind: 'lvol', name: 'LVS0', count: 4, size_mib: 16 },
      { kind: 'malloc', name: 'ram', count: 2, size_mib: 16 },
    ];
    const config = { socket, pools, bdev_prefix: 'Malloc' };
    const backends = [{ name: 'fast', kind: 'spdk', config }];
    const pkg = await readPackage(join(root, 'drivers/spdk'));
    const report = await runKit(pkg, undefined, backends);
    expect(report.passed, textOf(report)).toBe(true);
    expect(daemon.asked.length).toBeGreaterThan(100);
    passed.push(report.driver.id);
  });

  it('the right driver among the wrong ones', async ({ expect }) => {
    const report = await runKit(await readPackage(join(import.meta.dirname, 'wrong-drivers')));
    expect(report.passed, textOf(report)).toBe(true);
    // What does not apply to it could not be shown to be caught.
    const untested = report.clauses.filter(({ outcome }) => outcome === 'untested');
    expect(untested).toEqual([]);
  });
});

afterAll(() => {
  process.stdout.write(`conformance: the kit passes ${passed.join(', ') || 'no driver'}\n`);
});
