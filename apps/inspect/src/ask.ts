/** Asks the sources. None of them is changed, started or waited for beyond its limit; none that fails keeps another from being heard. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';

import { connect } from '@cyborg/store/connect';
import { readHostInspection } from '@cyborg/store/inspection';
import type { TSchema, Static } from 'typebox';
import { Parse } from 'typebox/value';

import { AgentSaysSchema, HostSaysSchema } from './says.ts';
import type { AgentSays, HostSays, StoreSays, Unknown } from './says.ts';

const agentProgram = join(import.meta.dirname, '../../agent/src/main.ts');
const limits = { lookMs: 60_000, answerMs: 10_000, answerBytes: 64 * 1024 * 1024 } as const;
const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** @param url  its sessions are read-only by PostgreSQL's own rule, whatever the statement. */
export async function askStore(url: string, host: string): Promise<StoreSays | Unknown> {
  try {
    const { db } = connect({ url: readOnly(url), log: silent, poolSizeMax: 1 });
    try {
      const says = await readHostInspection(db, host);
      return says ?? { unknown: `the ledger knows no host ${JSON.stringify(host)}` };
    } finally {
      await db.destroy();
    }
  } catch (error) {
    return { unknown: `the store cannot be read: ${messageOf(error)}` };
  }
}

function readOnly(given: string): string {
  const url = new URL(given);
  const options = [url.searchParams.get('options'), '-c default_transaction_read_only=on'];
  url.searchParams.set('options', options.filter((option) => option !== null).join(' '));
  url.searchParams.set('application_name', 'cyborg-inspect');
  return url.href;
}

/** The embedded database of a server that runs; one that does not is not started. */
export function embeddedUrl(stateDir: string): string | Unknown {
  const file = join(stateDir, 'postgres/data/postmaster.pid');
  try {
    if (!existsSync(file)) return { unknown: `no database runs in ${stateDir}` };
    const [, , , port = '', socketFolder = ''] = readFileSync(file, 'utf8').split('\n');
    const query = new URLSearchParams({ host: socketFolder, port, sslmode: 'disable' });
    return `postgresql://cyborg@localhost/cyborg?${query.toString()}`;
  } catch (error) {
    return { unknown: `${file} cannot be read: ${messageOf(error)}` };
  }
}

export async function askAgent(stateDir: string): Promise<AgentSays | Unknown> {
  const socket = connectSocket({ path: join(stateDir, 'inspect.sock') });
  socket.setTimeout(limits.answerMs, () =>
    socket.destroy(new Error(`no answer within ${limits.answerMs / 1000} s`)),
  );
  try {
    return parse(AgentSaysSchema, await text(socket));
  } catch (error) {
    return { unknown: `the agent cannot be asked: ${messageOf(error)}` };
  } finally {
    socket.destroy();
  }
}

/** @param options  of `cyborg-agent look`. */
export async function askHost(options: readonly string[]): Promise<HostSays | Unknown> {
  try {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [agentProgram, 'look', ...options],
      { timeout: limits.lookMs, maxBuffer: limits.answerBytes },
    );
    return parse(HostSaysSchema, stdout);
  } catch (error) {
    return { unknown: `the host cannot be looked at: ${saidBy(error) ?? messageOf(error)}` };
  }
}

function parse<Schema extends TSchema>(schema: Schema, said: string): Static<Schema> {
  return Parse(schema, JSON.parse(said));
}

function saidBy(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('stderr' in error)) return undefined;
  const line = String(error.stderr).trim();
  return line === '' ? undefined : line;
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message || error.name : String(error)).slice(0, 500);
}
