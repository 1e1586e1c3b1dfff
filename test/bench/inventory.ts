/** An unchanged inventory report: what it costs the server, and that it writes no row. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { createAgentClient } from '@cyborg/api-client/agent';
import { createHttpClient } from '@cyborg/api-client/http';

import type { BenchFleet } from './fleet.ts';
import { cpuMs } from './process-figures.ts';
import type { BenchReport } from './report.ts';

const reports = 400;
const cpuMsMax = 3;

export async function benchInventory(fleet: BenchFleet, report: BenchReport): Promise<void> {
  const { credential } = JSON.parse(
    readFileSync(join(fleet.agentStateDir, 'credential.json'), 'utf8'),
  ) as {
    credential: string;
  };
  const client = createAgentClient(
    createHttpClient({
      baseUrl: fleet.url,
      auth: { kind: 'bearer', token: credential },
      timeoutMs: 10_000,
    }),
  );
  const offer = await readOffer(fleet);
  const idle = await writesDuring(fleet, () => new Promise((resolve) => setTimeout(resolve, 1000)));
  const cpuBefore = cpuMs(fleet.server.pid);
  let wanted = 0;
  const busy = await writesDuring(fleet, async () => {
    for (let count = 0; count < reports; count++) {
      wanted += (await client.offerInventories({ body: offer })).wanted.length;
    }
  });
  const cpu = (cpuMs(fleet.server.pid) - cpuBefore) / reports;
  if (wanted > 0) throw new Error('the server asked for inventories that it has');
  report.figure({
    name: 'unchanged inventory report, server CPU',
    value: cpu,
    unit: 'ms',
    bound: { kind: 'at-most', value: cpuMsMax },
  });
  // Leases and sequencers go on meanwhile: what is more than theirs would be the reports'.
  const ofReports = Math.max(
    0,
    busy.transactions - (idle.transactions / idle.seconds) * busy.seconds - 3,
  );
  report.figure({
    name: `writing transactions of ${reports} unchanged reports`,
    value: Math.round(ofReports),
    unit: '',
    bound: { kind: 'at-most', value: 0 },
  });
}

type Offer = NonNullable<
  Parameters<ReturnType<typeof createAgentClient>['offerInventories']>[0]
>['body'];

async function readOffer({ pool }: BenchFleet): Promise<Offer> {
  const host = await pool.query<{ agent_instance: string }>(
    "select agent_instance from host where name = 'bench-host'",
  );
  const ledger = await pool.query<{ id: string; incarnation: number }>(
    'select id, incarnation from ledger',
  );
  const backends = await pool.query<{ backend_id: string; hash: string; generation: number }>(
    `select backend.id as backend_id, inventory_hash as hash, generation
       from backend join host on host.id = backend.host_id where host.name = 'bench-host'`,
  );
  const [first] = host.rows;
  const [ref] = ledger.rows;
  if (first === undefined || ref === undefined) throw new Error('the bench fleet is empty');
  return { instance: first.agent_instance, ledger: ref, backends: backends.rows };
}

/** Transactions that were given a number: those that wrote. */
async function writesDuring(
  { pool }: BenchFleet,
  work: () => Promise<unknown>,
): Promise<{ transactions: number; seconds: number }> {
  const read = async (): Promise<number> => {
    const { rows } = await pool.query<{ at: string }>(
      'select pg_snapshot_xmax(pg_current_snapshot())::text as at',
    );
    return Number(rows[0]?.at);
  };
  const before = await read();
  const from = performance.now();
  await work();
  const seconds = (performance.now() - from) / 1000;
  return { transactions: (await read()) - before, seconds };
}
