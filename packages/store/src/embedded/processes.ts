import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/** Is a process with this id alive? A zombie is not, though signals to it succeed. */
export function isRunning(pid: number): boolean {
  const state = processState(pid);
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** Ids of the postgres processes (postmaster or backend) that run on a data folder, whoever started them. */
export function postgresProcessesOn(data: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => isPostgresOn(pid, data));
}

/** Every postgres process works in its data folder; a postmaster also names it in its command line. */
export function isPostgresOn(pid: number, data: string): boolean {
  if (!isRunning(pid)) return false;
  const command = readProc(pid, 'cmdline').split('\0');
  const isPostgres = basename(command[0] ?? '').startsWith('postgres');
  if (!isPostgres) return false;
  return workingFolder(pid) === data || command.includes(data);
}

function processState(pid: number): string | undefined {
  // The name in parentheses may itself contain spaces and parentheses.
  const stat = readProc(pid, 'stat');
  return stat.slice(stat.lastIndexOf(')') + 1).trim()[0];
}

function workingFolder(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined;
  }
}

function readProc(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}
