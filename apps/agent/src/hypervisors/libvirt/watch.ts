import { createInterface } from 'node:readline';

import type { Clock } from '@cyborg/service/clock';

import type { Virsh } from './virsh.ts';

export const watchLimits = {
  /** How soon libvirt's events are listened to again after it went. */
  againMs: 1_000,
} as const;

export interface WatchOptions {
  readonly virsh: Virsh;
  readonly clock: Clock;
  readonly onChange: () => void;
}

/** Follows libvirt's events through one child, started again whenever it ends: libvirtd was restarted. */
export function watchLibvirt({ virsh, clock, onChange }: WatchOptions): Disposable {
  let stop: (() => void) | null = null;
  let timer: Disposable | null = null;
  const start = (): void => {
    const child = virsh.events();
    stop = () => child.kill('SIGKILL');
    createInterface({ input: child.stdout }).on('line', onChange);
    child.stderr.resume();
    child.stdin.on('error', () => undefined);
    child.on('error', () => undefined); // no virsh: `list` says so
    child.on('close', () => {
      if (stop === null) return;
      onChange();
      timer = clock.setTimer(watchLimits.againMs, start);
    });
  };
  start();
  return {
    [Symbol.dispose]: () => {
      const kill = stop;
      stop = null;
      timer?.[Symbol.dispose]();
      kill?.();
    },
  };
}
