import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { openTestDatabase } from '@cyborg/testing/database';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { openTestApp } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';

const html = '<!doctype html><title>Cyborg</title>';
const script = 'console.log("a");'.repeat(100);

describe('the page of the console', () => {
  const consoleDir = mkdtempSync(join(tmpdir(), 'cyborg-dist-'));
  let server: TestApp;
  beforeAll(async () => {
    server = await openTestApp(await openTestDatabase(), { consoleDir });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(consoleDir, { recursive: true, force: true });
  });

  it('says in one sentence that it is not built, and is there as soon as it is', async ({
    expect,
  }) => {
    const before = await server.app.inject({ url: '/console/' });
    expect(before.statusCode).toBe(200);
    expect(before.body).toContain('This server has no built console');
    mkdirSync(join(consoleDir, 'assets'));
    writeFileSync(join(consoleDir, 'index.html'), html);
    writeFileSync(join(consoleDir, 'assets', 'index-abc123.js'), script);
    writeFileSync(join(consoleDir, 'secret.txt'), 'no part of it');
    const after = await server.app.inject({ url: '/console/' });
    expect(after.body).toBe(html);
  });

  it('takes nothing inline and nothing from elsewhere, and is asked for again each time', async ({
    expect,
  }) => {
    const { headers } = await server.app.inject({ url: '/console/' });
    const policy = String(headers['content-security-policy']);
    expect(policy).toContain("script-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('unsafe');
    expect(headers).toMatchObject({
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    });
  });

  it('answers its own addresses, also in the middle', async ({ expect }) => {
    const deep = await server.app.inject({ url: '/console/hosts/node-1?x=y' });
    expect(deep.body).toBe(html);
    const bare = await server.app.inject({ url: '/console' });
    expect(bare.headers.location).toBe('/console/');
    const browser = await server.app.inject({
      url: '/',
      headers: { accept: 'text/html,*/*;q=0.8' },
    });
    expect(browser.headers.location).toBe('/console/');
    const program = await server.app.inject({ url: '/' });
    expect(program.json()).toHaveProperty('versions');
  });

  it('has files that are kept for ever, packed for those who take it', async ({ expect }) => {
    const url = '/console/assets/index-abc123.js';
    const plain = await server.app.inject({ url });
    expect(plain.body).toBe(script);
    expect(plain.headers).toMatchObject({
      'cache-control': 'public, max-age=31536000, immutable',
      'content-type': 'text/javascript; charset=utf-8',
    });
    const packed = await server.app.inject({ url, headers: { 'accept-encoding': 'br, gzip' } });
    expect(packed.headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'accept-encoding' });
    expect(gunzipSync(packed.rawPayload).toString()).toBe(script);
    const etag = String(plain.headers.etag);
    const known = await server.app.inject({ url, headers: { 'if-none-match': etag } });
    expect(known.statusCode).toBe(304);
  });

  it('gives nothing else away', async ({ expect }) => {
    for (const path of [
      'index-gone.js',
      '..%2fsecret.txt',
      '..%2f..%2fpackage.json',
      '.hidden.js',
    ]) {
      const answer = await server.app.inject({ url: `/console/assets/${path}` });
      expect(answer.statusCode, path).toBe(404);
      expect(answer.headers['content-type']).toContain('application/problem+json');
    }
    expect((await server.app.inject({ url: '/console/secret.txt' })).body).toBe(html);
  });
});
