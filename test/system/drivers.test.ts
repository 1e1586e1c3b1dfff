/** Promise 5: no driver failure stops its agent or another driver's backend. */
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { eightGpuServer } from '@cyborg/driver-sdk/example-trees';
import { toJson } from '@cyborg/store/json';
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { Fleet, type Host } from './fleet.ts';
import { settled } from './settled.ts';

const testDrivers = join(import.meta.dirname, '../../apps/agent/test-drivers');
/** Five crashes with their backoff. */
const quarantineMs = 120_000;
const looksMs = 100_000;

/** As an upload and its approval will do. */
async function registerNaughty({ db }: Fleet): Promise<void> {
  const at = new Date();
  const config_schema = {
    type: 'object',
    properties: { count: { type: 'integer' }, mode: { type: 'string' } },
  };
  const kinds = [{ kind: 'demo', title: 'For tests', config_schema, delegable: [] }];
  await db
    .insertInto('driver')
    .values({ id: 'naughty', title: 'naughty', created_at: at })
    .execute();
  await db
    .insertInto('driver_version')
    .values({
      driver_id: 'naughty',
      version: '1.0.0',
      state: 'approved',
      is_builtin: true,
      manifest: toJson({ kinds, default_backends: [] }),
      created_at: at,
    })
    .execute();
}

async function openFleet(): Promise<{ fleet: Fleet; host: Host; vm: string }> {
  const fleet = await Fleet.open();
  await fleet.startServer();
  await registerNaughty(fleet);
  const args = ['--drivers-dir', testDrivers, '--inventory-interval', '2'];
  const [host] = await fleet.addHosts(['host-1'], { args, tree: eightGpuServer() });
  await fleet.installVirtual(['host-1'], { crypto: 2, entropy: 0 });
  if (host === undefined) throw new Error('no host');
  return { fleet, host, vm: await fleet.instance('host-1') };
}

async function stateOf(
  fleet: Fleet,
  name: string,
): Promise<{ state: string; reason: string | null }> {
  return fleet.v3.showBackend({ params: { backend: `host-1@${name}` } });
}

async function untilState(fleet: Fleet, name: string, states: readonly string[]): Promise<void> {
  await eventually(async () => states.includes((await stateOf(fleet, name)).state), {
    timeoutMs: quarantineMs,
    what: `backend ${name} is ${states.join(' or ')}`,
    context: () => fleet.logs(),
  });
}

describe('a driver', () => {
  it('that keeps dying is quarantined; its accelerators stay known, others go on', async ({
    expect,
  }) => {
    const { fleet, host, vm } = await openFleet();
    await using _fleet = fleet;
    const params = { driver_id: 'naughty' };
    await fleet.done(
      fleet.v3.installDriver({
        params,
        body: { backends: [{ name: 'bad', kind: 'demo', config: { mode: 'good' } }] },
      }),
    );
    expect(await fleet.accelerators({ driver_id: 'naughty' })).toHaveLength(2);

    await fleet.v3.updateDriver({
      params,
      body: { backends: [{ name: 'bad', config: { mode: 'crash-on-discover' } }] },
    });
    await untilState(fleet, 'bad', ['stale', 'failed']);
    // Meanwhile the other driver's backend does everything.
    await fleet.attach(vm, { driver: 'generic', count: 2 });
    expect(await stateOf(fleet, 'soft')).toMatchObject({ state: 'ready' });
    await eventually(async () => /quarantine/i.test((await stateOf(fleet, 'bad')).reason ?? ''), {
      timeoutMs: quarantineMs,
      what: 'the quarantine is told',
      context: () => fleet.logs(),
    });
    const known = await fleet.accelerators({ driver_id: 'naughty' });
    expect(known).toHaveLength(2);
    const bad = { backend: 'host-1@bad' };
    // New lines are reported every 30 s.
    const shown = await eventually(
      async () => {
        const now = await fleet.v3.showBackend({ params: bad });
        const said = now.log.map(({ level, message }) => `${level} ${message}`);
        const wanted = ['stderr about to crash, as asked', 'agent quarantined after 5 crashes'];
        return wanted.every((line) => said.includes(line)) && now;
      },
      { timeoutMs: quarantineMs, what: 'its log tells why', context: () => fleet.logs() },
    );
    expect(shown).toMatchObject({ state: 'failed', quarantined_since: expect.any(String) });
    // Its own doing has not changed: a restart gives it another chance, and says why it failed.
    const restart = await fleet.ended(fleet.v3.restartBackend({ params: bad }), quarantineMs);
    expect(restart).toMatchObject({ state: 'failed', kind: 'restart-backend' });
    expect(restart.error).toContain('ended with status 3');
    await fleet.done(fleet.v3.restartBackend({ params: { backend: 'host-1@soft' } }));
    expect(host.devices()).toHaveLength(2);
    const { facts } = await fleet.v3.showHost({ params: { host: 'host-1' } });
    expect(facts['driver_containment']).toContain('clean environment');
    expect(facts['driver_containment_missing']).toContain('CPU time is not limited');
    expect(host.agent?.hasEnded()).toBe(false);
    await fleet.detach(vm);
    expect(host.devices()).toEqual([]);
    await expect(fleet.attach(vm, { driver: 'naughty' })).rejects.toMatchObject({ status: 409 });
  });

  it('that meets a file that blocks, and garbage, keeps listing the rest', async ({ expect }) => {
    const { fleet, host, vm } = await openFleet();
    await using _fleet = fleet;
    const gpus = { name: 'gpus', kind: 'pci', hosts: ['host-1'], config: { offer: 'all' } };
    const params = { driver_id: 'generic' };
    await fleet.done(fleet.v3.installDriver({ params, body: { backends: [gpus] } }));
    const before = await fleet.accelerators({ backend: 'host-1@gpus' });
    const isPresent = ({ presence }: { presence: string }): boolean => presence === 'present';
    expect(before.filter(isPresent).length).toBeGreaterThanOrEqual(8);

    const folder = join(
      host.sysfs,
      'bus/pci/devices',
      before.find(({ address }) => address)?.address ?? '',
    );
    rmSync(join(folder, 'numa_node'));
    execFileSync('mkfifo', [join(folder, 'numa_node')]);
    writeFileSync(join(folder, 'current_link_width'), Buffer.from([0xff, 0x00, 0xfe, 0x0a]));
    await fleet.ended(fleet.v3.createDiscovery({ body: { host: 'host-1' } }), looksMs);

    const after = await fleet.accelerators({ backend: 'host-1@gpus' });
    expect(after).toHaveLength(before.length);
    const [soft] = await fleet.accelerators({ backend: 'host-1@soft', state: 'available' });
    await fleet.attach(vm, { accelerator: soft?.id ?? '' });
    await fleet.detach(vm);
    await settled(fleet);
    expect(host.agent?.hasEnded()).toBe(false);
  });
});
