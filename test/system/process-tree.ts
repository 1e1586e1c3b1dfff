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

function childrenByParent(): Map<number, number[]> {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const status = readProc(Number(name), 'stat');
    const parent = Number(status.slice(status.lastIndexOf(')') + 2).split(' ')[1] ?? -1);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  return children;
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
