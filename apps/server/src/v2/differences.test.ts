import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost } from '@cyborg/testing/fleet';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { openTestApp } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';
import { makeV2Ask } from './test-ask.ts';

const page = join(import.meta.dirname, '../../../../docs/reference/v2-differences.md');

interface Row {
  readonly request: string;
  readonly body: unknown;
  readonly here: number;
}

/** `| request | body | upstream | here | because |` */
function readRows(): Row[] {
  const lines = readFileSync(page, 'utf8').split('\n');
  return lines.flatMap((line) => {
    const [, request, body, here] =
      /^\| `(\w+ [^`]+)` \| (-|`.*`) \| \d+ \| (\d+) \|/.exec(line) ?? [];
    if (request === undefined || body === undefined) return [];
    const parsed: unknown = body === '-' ? undefined : JSON.parse(body.slice(1, -1));
    return [{ request, body: parsed, here: Number(here) }];
  });
}

describe('docs/reference/v2-differences.md', () => {
  let server: TestApp;
  const ask = makeV2Ask(() => server);
  const rows = readRows();
  beforeAll(async () => {
    server = await openTestApp(await openTestDatabase());
    const { db } = server.deps;
    const backend = await addBackend(db, await addHost(db));
    const [made] = await addAccelerators(db, backend, { count: 1, type: 'GPU' });
    await db
      .updateTable('deployable')
      .set({ rp_uuid: randomUUID() })
      .where('id', '=', made?.deployable_id ?? '')
      .execute();
    for (const name of ['used', 'free']) {
      const body = [{ name, groups: [{ 'resources:FPGA': '1' }] }];
      await ask('POST /v2/device_profiles', { body });
    }
    await ask('POST /v2/accelerator_requests', { body: { device_profile_name: 'used' } });
  });
  afterAll(async () => server[Symbol.asyncDispose]());

  it('says what each of its requests is answered', async ({ expect }) => {
    expect(rows.length).toBeGreaterThan(20);
    for (const { request, body, here } of rows) {
      const answer = await ask(request, { body });
      expect(answer.status, `${request} ${JSON.stringify(body)}: ${answer.fault}`).toBe(here);
      if (here >= 400) expect(answer.fault).not.toMatch(/Traceback|insert into|select /i);
    }
  });
});
