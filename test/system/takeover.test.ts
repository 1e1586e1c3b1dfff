/** Several servers on one database; a conductor that dies; wake-ups that never arrive. */
import { connect } from '@cyborg/store/connect';
import { systemClock } from '@cyborg/service/clock';
import { quietLog } from '@cyborg/testing/log';
import { freePort } from '@cyborg/testing/processes';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { Fleet } from './fleet.ts';
import { settled } from './settled.ts';

/** Its claims run out after 10 s; whoever nobody wakes looks after a minute. */
const takeoverMs = 45_000;
/** What waits for a hint looks by itself every 2 s; an installation has four such waits. A poll of an agent lasts 25 s. */
const withoutHintsMs = 24_000;

describe('an api and a conductor in processes of their own', { retry: 0 }, () => {
  it('hand work over when the only conductor dies holding it, as soon as its claims have run out', async ({
    expect,
  }) => {
    await using fleet = await Fleet.open();
    await fleet.startServer({ args: ['--role', 'api', '--replica-name', 'api'] });
    const conductorAt = async (name: string) => {
      const port = await freePort();
      return fleet.startServer({ port, args: ['--role', 'conductor', '--replica-name', name] });
    };
    const first = await conductorAt('first');
    const [host] = await fleet.addHosts(['host-1']);
    await fleet.installVirtual(['host-1'], { crypto: 3, entropy: 0 });
    const vm = await fleet.instance('host-1');

    const params = { driver_id: 'generic' };
    const more = [{ name: 'more', kind: 'virtual', hosts: ['host-1'] }];
    // Each kind of work, asked; then nobody conducts, and what the dead one had claimed is claimed still.
    const kinds: readonly (readonly (() => Promise<object>)[])[] = [
      [
        () => fleet.requestAttach(vm, { count: 2 }),
        () => fleet.v3.installDriver({ params, body: { backends: more } }),
      ],
      [
        () => fleet.requestDetach(vm),
        () => fleet.v3.createDiscovery({ body: { backend: 'host-1@soft' } }),
        () => fleet.v3.uninstallDriver({ params, query: { backend: 'more' } }),
      ],
    ];
    let conductor = first;
    for (const [at, asks] of kinds.entries()) {
      const asked = Promise.all(asks.map((ask) => ask()));
      await systemClock.sleep(at * 7);
      await conductor.end('SIGKILL');
      const open = await asked;
      await claimEverything(fleet);
      conductor = await conductorAt(`next-${at}`);
      await Promise.all(open.map((operation) => fleet.done(operation, takeoverMs)));
    }

    await settled(fleet, { withinMs: takeoverMs });
    expect(host?.devices()).toEqual([]);
  });

  it('do every verb, only slower, when every NOTIFY is dropped', async ({ expect }) => {
    await using fleet = await Fleet.open();
    await using _cutter = cutNotifications(fleet);
    await fleet.startServer({ args: ['--role', 'api'] });
    await fleet.startServer({ port: await freePort(), args: ['--role', 'conductor'] });
    const [host] = await fleet.addHosts(['host-1']);
    const timed = async (what: string, ask: () => Promise<object>): Promise<void> => {
      const startedMs = systemClock.monotonicMs();
      await fleet.done(ask());
      const tookMs = systemClock.monotonicMs() - startedMs;
      expect(tookMs, `${what} without hints`).toBeLessThan(withoutHintsMs);
    };
    const params = { driver_id: 'generic' };
    const backends = [{ name: 'soft', kind: 'virtual', hosts: ['host-1'], config: { crypto: 2 } }];
    await timed('install', () => fleet.v3.installDriver({ params, body: { backends } }));
    const vm = await fleet.instance('host-1');
    await timed('attach', () => fleet.requestAttach(vm, { driver: 'generic', count: 1 }));
    expect(host?.devices()).toHaveLength(1);
    await timed('discover', () => fleet.v3.createDiscovery({ body: {} }));
    await timed('detach', () => fleet.requestDetach(vm));
    const change = { backends: [{ name: 'soft', config: { crypto: 3 } }] };
    await timed('update', () => fleet.v3.updateDriver({ params, body: change }));
    await timed('uninstall', () => fleet.v3.uninstallDriver({ params, query: {} }));
    await settled(fleet);
    expect((await fleet.events()).length).toBeGreaterThan(8);
  });
});

/** Claims as a conductor leaves them that dies in the middle of each. */
async function claimEverything({ db }: Fleet): Promise<void> {
  const dead = '00000000-0000-4000-8000-00000000dead';
  const open = {
    installation: sql`state not in ('ready', 'removed')`,
    accelerator: sql`state in ('reserved', 'cleaning')`,
    operation: sql`state in ('queued', 'running', 'waiting')`,
    attachment: sql`state in ('reserved', 'attaching', 'detaching')`,
  };
  for (const [table, isOpen] of Object.entries(open)) {
    await sql`update ${sql.table(table)} set claimed_by = ${dead}::uuid,
      claim_expires_at = clock_timestamp() + interval '10 seconds' where ${isOpen}`.execute(db);
  }
}

/** Ends the connections that listen for wake-ups, and those that come after them, for as long as it is not disposed. */
function cutNotifications(fleet: Fleet): AsyncDisposable {
  const { db } = connect({ url: fleet.databaseUrl, log: quietLog, poolSizeMax: 1 });
  const stopping = new AbortController();
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await sql`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'cyborg-notify' and datname = current_database()`.execute(db);
      await systemClock.sleep(5, stopping.signal).catch(() => undefined);
    }
  };
  const ended = loop();
  return {
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await ended;
      await db.destroy();
    },
  };
}
