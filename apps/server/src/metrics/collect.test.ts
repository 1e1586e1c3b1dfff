import { makeAttachmentHandlers } from '@cyborg/conductor/attachments/handlers';
import { forgetHistory } from '@cyborg/conductor/reconcilers/forget-history';
import { numberEvents } from '@cyborg/conductor/reconcilers/number-events';
import { startReconcilers } from '@cyborg/conductor/runner';
import { obey } from '@cyborg/conductor/test-agent';
import { makeTestDeps } from '@cyborg/conductor/test-deps';
import { reconcilerQueues } from '@cyborg/store/backlog';
import { readEventBounds } from '@cyborg/store/events';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { quietLog } from '@cyborg/testing/log';
import { describe, it } from 'vitest';

import { composeConductor } from '../compose.ts';
import { makeServerMetrics } from './server-metrics.ts';

const signal = new AbortController().signal;
const pauseMs = 6000;

async function setUp() {
  const database = await openTestDatabase();
  const { db, pool } = database;
  const clock = makeTestClock();
  const deps = makeTestDeps({ db, clock });
  const host = await addHost(db, { name: 'node-1' });
  const backend = await addBackend(db, host);
  await addAccelerators(db, backend, { count: 3 });
  const instance = await addInstance(db, host);
  const server = makeServerMetrics();
  const reconcilers = { status: () => [], stop: async () => {} };
  const collect = await server.collector({
    connection: { db, pool },
    reconcilers,
    clock,
    log: quietLog,
  });
  const scrape = async (): Promise<string[]> => {
    await collect();
    return (await server.metrics.text()).split('\n');
  };
  const attach = () =>
    makeAttachmentHandlers(deps).createAttachments(callerOf('admin', 'root'), {
      params: { instance_id: instance.id },
      query: {},
      body: {},
    });
  return { database, db, clock, deps, host, attach, scrape, onPass: server.onPass };
}

describe('/metrics', () => {
  it('counts what the ledger has, and says what waits for how long', async ({ expect }) => {
    const { database, clock, attach, scrape } = await setUp();
    await using _ = database;
    await attach();
    await clock.advance(7000);
    const lines = await scrape();
    const accelerators = lines.filter((line) => line.startsWith('cyborg_accelerators{'));
    expect(accelerators).toHaveLength(2);
    expect(accelerators.join('\n')).toMatch(
      /state="available",health="healthy",presence="present"} 2/,
    );
    expect(accelerators.join('\n')).toMatch(
      /state="reserved",health="healthy",presence="present"} 1/,
    );
    expect(lines).toContain('cyborg_hosts{state="up",status="enabled"} 1');
    expect(lines).toContain('cyborg_backends{state="ready",status="enabled"} 1');
    expect(lines).toContain('cyborg_work_waiting{reconciler="dispatch-attachments"} 1');
    expect(lines).toContain(
      'cyborg_work_waiting_oldest_seconds{reconciler="dispatch-attachments"} 7',
    );
    expect(lines).toContain('cyborg_operations_open{kind="attach-instance",state="running"} 1');
    expect(lines.some((line) => /number-events"} [1-9]/.test(line))).toBe(true);
    expect(lines).toContain('cyborg_ledger_figures_up 1');
  });

  it('counts each ended operation once, with its time', async ({ expect }) => {
    const { database, clock, deps, host, attach, scrape } = await setUp();
    await using _ = database;
    const count =
      'cyborg_operation_duration_seconds_count{kind="attach-instance",outcome="succeeded"} ';
    await attach();
    await clock.advance(3000);
    await obey(deps, host);
    await numberEvents(deps).pass(signal);
    const first = await scrape();
    expect(first).toContain(`${count}1`);
    expect(first).toContain(`${count.replace('_count', '_sum')}3`);
    expect(first.some((line) => line.startsWith('cyborg_events_total{kind="attachment.'))).toBe(
      true,
    );
    await clock.advance(pauseMs);
    expect(await scrape()).toContain(`${count}1`);
    await attach();
    await obey(deps, host);
    await numberEvents(deps).pass(signal);
    await clock.advance(pauseMs);
    expect(await scrape()).toContain(`${count}2`);
  });

  it('asks the database no more often than every five seconds', async ({ expect }) => {
    const { database, db, clock, scrape } = await setUp();
    await using _ = database;
    await scrape();
    await db.updateTable('accelerator').set({ state: 'withheld', reason: 'x' }).execute();
    expect((await scrape()).join('\n')).toContain('state="available"');
    await clock.advance(pauseMs);
    const text = (await scrape()).join('\n');
    expect(text).toContain('state="withheld"');
    expect(text).not.toContain('state="available"');
  });

  it('without a database shows the rest, and no figure of the ledger', async ({ expect }) => {
    const { database, db, clock, scrape, onPass } = await setUp();
    await using _ = database;
    await scrape();
    onPass({ reconciler: 'placement', outcome: 'failed', found: 0, seconds: 0.2, notes: {} });
    await db.schema.alterTable('accelerator').renameTo('elsewhere').execute();
    await clock.advance(pauseMs);
    const lines = await scrape();
    expect(lines).toContain('cyborg_ledger_figures_up 0');
    expect(
      lines.filter((line) => /^cyborg_(accelerators|hosts|work_waiting)\{/.test(line)),
    ).toEqual([]);
    expect(lines).toContain('cyborg_event_last_number Nan');
    expect(lines).toContain(
      'cyborg_reconciler_pass_duration_seconds_count{reconciler="placement",outcome="failed"} 1',
    );
  });

  it('counts what was forgotten for its age, by kind', async ({ expect }) => {
    const { database, clock, deps, attach, scrape, onPass } = await setUp();
    await using _ = database;
    await attach();
    await numberEvents(deps).pass(signal);
    await clock.advance(401 * 86_400_000);
    const reconcilers = startReconcilers({ ...deps, onPass }, [forgetHistory(deps)]);
    while (reconcilers.status()[0]?.passes === 0) await new Promise(setImmediate);
    await reconcilers.stop();
    const { last, forgotten } = await readEventBounds(deps.db);
    expect(forgotten).toBe(last);
    const lines = await scrape();
    expect(lines).toContain(`cyborg_forgotten_total{kind="event"} ${last}`);
    expect(lines).toContain('cyborg_forgotten_total{kind="operation"} 0');
    expect(lines).toContain(`cyborg_event_forgotten_number ${last}`);
  });

  it('names the queues as the reconcilers are called', async ({ expect }) => {
    await using database = await openTestDatabase();
    const deps = makeTestDeps({ db: database.db, clock: makeTestClock() });
    const named = new Set(composeConductor(deps).reconcilers.map(({ name }) => name));
    // Those that speak with OpenStack are there only with it.
    const withOpenStack = [
      'placement',
      'send-nova-events',
      'make-allocations',
      'remove-allocations',
    ];
    const unknown = Object.keys(reconcilerQueues).filter((name) => !named.has(name));
    expect(unknown.filter((name) => !withOpenStack.includes(name))).toEqual([]);
  });
});
