/** What the ledger says of one host, as it is at one instant: one read-only transaction that PostgreSQL itself keeps so. */
import { sql, type Kysely } from 'kysely';

import type { Database } from './schema.ts';

export interface StoreSays {
  readonly ledger: { readonly id: string; readonly incarnation: number };
  readonly agent_instance: string | null;
  readonly installations: readonly {
    readonly driver_id: string;
    readonly running_version: string | null;
  }[];
  readonly backends: readonly {
    readonly id: string;
    readonly name: string;
    readonly state: string;
    readonly inventory_hash: string | null;
  }[];
  readonly functions: readonly {
    readonly address: string;
    readonly presence: string;
    readonly kernel_driver: string | null;
    readonly backend_id: string;
  }[];
  readonly attachments: readonly {
    readonly id: string;
    readonly device_epoch: number;
    readonly state: string;
    readonly instance_id: string | null;
    readonly plugged_by: string;
  }[];
}

/** @returns undefined when the ledger knows no such host. */
export function readHostInspection(
  db: Kysely<Database>,
  host: string,
): Promise<StoreSays | undefined> {
  return db
    .transaction()
    .setAccessMode('read only')
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      const found = await tx
        .selectFrom('host')
        .select(['id', 'agent_instance'])
        .where('name', '=', host)
        .executeTakeFirst();
      if (found === undefined) return undefined;
      const ledger = await tx
        .selectFrom('ledger')
        .select(['id', 'incarnation'])
        .executeTakeFirstOrThrow();
      return { ledger, agent_instance: found.agent_instance, ...(await readParts(tx, found.id)) };
    });
}

async function readParts(
  tx: Kysely<Database>,
  hostId: string,
): Promise<Pick<StoreSays, 'installations' | 'backends' | 'functions' | 'attachments'>> {
  const functions = await sql<StoreSays['functions'][number]>`
    select address, presence, kernel_driver, backend_id from device
    where host_id = ${hostId} and address is not null order by address, id`.execute(tx);
  return {
    installations: await tx
      .selectFrom('installation')
      .select(['driver_id', 'running_version'])
      .where('host_id', '=', hostId)
      .orderBy('driver_id')
      .execute(),
    backends: await tx
      .selectFrom('backend')
      .select(['id', 'name', 'state', 'inventory_hash'])
      .where('host_id', '=', hostId)
      .orderBy('name')
      .execute(),
    functions: functions.rows,
    attachments: await tx
      .selectFrom('attachment')
      .select(['id', 'device_epoch', 'state', 'instance_id', 'plugged_by'])
      .where('host_id', '=', hostId)
      .where('state', '<>', 'released')
      .orderBy('number')
      .execute(),
  };
}
