/** Every changing command as a real process, against a real HTTP server that answers what a rehearsal would. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { catalogue } from './catalogue.ts';

const id = '11111111-1111-4111-8111-111111111111';

/** What each needs besides `--dry-run`. */
const args: Readonly<Record<string, readonly string[]>> = {
  // Any file: the server of this test takes it as it is.
  'driver-upload': [join(import.meta.dirname, 'main.ts')],
  'driver-approve': ['acme', '1.0.0'],
  'driver-conformance': [
    'acme',
    '1.0.0',
    join(import.meta.dirname, '../test/conformance-report.json'),
  ],
  'driver-delete': ['acme', '1.0.0'],
  'install-driver': ['generic'],
  'update-driver': ['generic'],
  'uninstall-driver': ['generic'],
  'discover-services': [],
  'service-update': [id, '--disable'],
  'accelerator-create': ['h@pci', '--address', '0000:65:00.0'],
  'accelerator-update': [id, '--name', 'n'],
  'accelerator-delete': [id],
  'attach-instance': ['vm-1'],
  'detach-instance': ['vm-1'],
  'instance-update': ['vm-1', '--project', 'p'],
  'unclaimed-release': [id],
  'unclaimed-adopt': [id, '--accelerator', id],
  'host-update': ['h', '--disable'],
  'host-delete': ['h'],
  'host-revoke': ['h'],
  'host-reenroll': ['h'],
  'join-token-create': [],
  'join-token-delete': [id],
  'backend-update': ['h@pci', '--disable'],
  'backend-restart': ['h@pci'],
  'profile-create': ['p', '--group', 'resources:PGPU=1'],
  'profile-delete': ['p'],
  'quota-set': ['p', '--limit', 'GPU=1'],
  'grant-create': ['p', '--host', 'h'],
  'grant-delete': [id],
  'operation-cancel': [id],
};

const rehearsal = {
  dry_run: true,
  would_succeed: true,
  changes: [{ subject_kind: 'thing', subject_id: id, change: 'becomes another' }],
  refusal: null,
  nearest_misses: [],
};

interface Act {
  readonly headers: IncomingHttpHeaders;
  readonly isRehearsal: boolean;
}

const acts: Act[] = [];
const server = http.createServer((request, response) => {
  const { searchParams } = new URL(request.url ?? '', 'http://x');
  const isRehearsal = searchParams.get('dry_run') === 'true';
  if (request.method !== 'GET') acts.push({ headers: request.headers, isRehearsal });
  request.resume().once('end', () => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(request.method === 'GET' ? { items: [], next: null } : rehearsal));
  });
});

let url: string;
beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
});
afterAll(() => void server.close());

async function act(name: string, ...more: string[]): Promise<Act> {
  acts.length = 0;
  const given = [name, ...(args[name] ?? []), ...more, '--url', url, '--user', 'u'];
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...given], {
    env: { ...process.env, CYBORG_PASSWORD: 'p' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`ended with ${String(code)}: ${output}`);
  expect(output).toContain('becomes another');
  const [only, ...others] = acts;
  expect(others).toEqual([]);
  if (only === undefined) throw new Error(`Nothing was asked for: ${output}`);
  return only;
}

describe('every changing command', () => {
  const keys = new Set<string>();
  const changing = Object.keys(catalogue).filter((name) => name in args);

  it('is tried here', async () => {
    const known = await Promise.all(
      Object.entries(catalogue).map(async ([name, entry]) => ({
        name,
        changes: (await entry.load()).changes === true,
      })),
    );
    expect(changing).toEqual(known.filter(({ changes }) => changes).map(({ name }) => name));
  });

  it.each(changing)(
    'is one act with a key of its own, or a rehearsal without: %s',
    async (name) => {
      const done = await act(name);
      expect(done.isRehearsal).toBe(false);
      const key = String(done.headers['idempotency-key']);
      expect(key).toMatch(/^[0-9a-f-]{36}$/);
      expect(keys).not.toContain(key);
      keys.add(key);
      const rehearsed = await act(name, '--dry-run');
      expect(rehearsed.isRehearsal).toBe(true);
      expect(rehearsed.headers['idempotency-key']).toBeUndefined();
    },
  );
});
