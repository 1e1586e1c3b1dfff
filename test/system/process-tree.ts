/** What runs below a process, read from /proc. */
import { readFileSync, readdirSync } from 'node:fs';

export function descendantsOf(pid: number): number[] {
  const children = childrenByParent();
  const found: number[] = [];
  for (const queue = [pid]; queue.length > 0;) {
    const below = children.get(queue.shift() ?? -1) ?? [];
    found.push(...below);
    queue.push(...below);
  }
  return found;
}

/** '' when it is gone. */
export function commandOf(pid: number): string {
  return readProc(pid, 'cmdline').replaceAll('\0', ' ').trim();
}

/** Clock ticks from the machine's start to the process's; 0 when it is gone. */
export function startedAt(pid: number): number {
  return Number(fieldsOf(pid)[19] ?? 0);
}

/** It may have ended since it was seen. */
export function killNow(pid: number): void {
  // Those would be everybody, this group, and the machine's first.
  if (pid <= 1) throw new Error(`${pid} is no process to kill`);
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

function childrenByParent(): Map<number, number[]> {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const parent = Number(fieldsOf(Number(name))[1] ?? -1);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  return children;
}

/** Of `stat`, from the third on, the state: those before it are the pid and the name, which may hold anything. */
function fieldsOf(pid: number): string[] {
  const status = readProc(pid, 'stat');
  return status.slice(status.lastIndexOf(')') + 2).split(' ');
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
