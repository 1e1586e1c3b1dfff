import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { eventually, runCli, startProgram } from '@cyborg/testing/processes';
import type { RunningProgram } from '@cyborg/testing/processes';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { parse } from 'yaml';

const timeoutMs = 120_000;
const checkout = join(import.meta.dirname, '../../../..');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-revoked-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const start = (): RunningProgram =>
  startProgram('allInOne', {
    args: ['--state-dir', folder, '--listen', '127.0.0.1:0'],
    detached: true,
  });

async function says(program: RunningProgram, text: string): Promise<void> {
  await eventually(() => program.output().includes(text), {
    timeoutMs,
    what: `npm start says: ${text}`,
    context: () => program.output(),
  });
}

async function readiness(): Promise<{ status: number; hosts: string }> {
  const { url } = parse(readFileSync(join(folder, 'client.yaml'), 'utf8'));
  const response = await fetch(`${url}/readyz`);
  const { checks }: { checks: { hosts: string } } = JSON.parse(await response.text());
  return { status: response.status, hosts: checks.hosts };
}

async function cli(...words: string[]): Promise<string> {
  const env = { CYBORG_CONFIG: join(folder, 'client.yaml') };
  const { status, stdout, stderr } = await runCli(words, env);
  if (status !== 0) throw new Error(stderr);
  return stdout.trim();
}

/** Several cold starts each, on a machine that runs other tests too. */
describe('npm start with a host that an operator revoked', { timeout: 600_000 }, () => {
  it('stays ready, names it, and enrols it again with the command that it prints', async ({
    expect,
  }) => {
    {
      await using program = start();
      await says(program, 'Ready.');
      expect(await readiness()).toEqual({ status: 200, hosts: 'ok' });
      const host = await cli('host-list', '-f', 'value', '-c', 'name');
      await cli('host-revoke', host);
      await says(program, `Host ${host} is revoked`);
      expect(await readiness()).toEqual({ status: 200, hosts: `ok; revoked: ${host}` });
      expect(await program.end()).toBe(0);
    }
    await using again = start();
    await says(again, 'is revoked');
    await says(again, 'Ready.');
    expect((await readiness()).status).toBe(200);
    const command = /^ {2}(.*host-reenroll.*)$/m.exec(again.output())?.[1] ?? '';
    execFileSync('/bin/sh', ['-c', command], { cwd: checkout, timeout: timeoutMs });
    await eventually(async () => (await readiness()).hosts === 'ok', {
      timeoutMs,
      what: 'the host is enrolled again',
      context: () => again.output(),
    });
    expect(await cli('host-list', '-f', 'value', '-c', 'state')).toBe('up');
    expect(await again.end()).toBe(0);
  });
});
