/** How often somebody may guess: counted per address, and per address and user name, in tables of bounded size. */
import { isIPv6 } from 'node:net';

import { ServiceError } from '@cyborg/model/errors';
import type { Clock } from '@cyborg/service/clock';

export const failedLoginLimits = {
  windowSeconds: 60,
  perUserMax: 10,
  perAddressMax: 60,
  entriesMax: 10_000,
} as const;

export interface FailedLogins {
  /** @throws ServiceError `too-many-failed-logins` */
  check(address: string, user: string): void;
  /** Before the costly part, so that many guesses at once do not all get through. */
  count(address: string, user: string): void;
  /** It was right after all. */
  forgive(address: string, user: string): void;
}

interface Window {
  readonly endsAtMs: number;
  failures: number;
}

export function makeFailedLogins(clock: Pick<Clock, 'monotonicMs'>): FailedLogins {
  const windows = new Map<string, Window>();
  const live = (key: string): Window | undefined => {
    const window = windows.get(key);
    return window !== undefined && window.endsAtMs > clock.monotonicMs() ? window : undefined;
  };
  const add = (key: string): void => {
    const window = live(key) ?? {
      endsAtMs: clock.monotonicMs() + failedLoginLimits.windowSeconds * 1000,
      failures: 0,
    };
    window.failures += 1;
    windows.delete(key);
    windows.set(key, window);
    if (windows.size > failedLoginLimits.entriesMax) {
      const [oldest] = windows.keys();
      if (oldest !== undefined) windows.delete(oldest);
    }
  };
  return {
    check(address, user) {
      for (const [key, most] of keysOf(address, user)) {
        const window = live(key);
        if (window !== undefined && window.failures >= most) {
          throw tooMany(Math.ceil((window.endsAtMs - clock.monotonicMs()) / 1000));
        }
      }
    },
    count(address, user) {
      for (const [key] of keysOf(address, user)) add(key);
    },
    forgive(address, user) {
      for (const [key] of keysOf(address, user)) {
        const window = live(key);
        if (window !== undefined) window.failures -= 1;
      }
    },
  };
}

function keysOf(address: string, user: string): [key: string, most: number][] {
  const network = networkOf(address);
  return [
    [network, failedLoginLimits.perAddressMax],
    [`${network} ${user.slice(0, 255)}`, failedLoginLimits.perUserMax],
  ];
}

/** One customer usually has a whole /64 of IPv6. */
function networkOf(address: string): string {
  if (!isIPv6(address) || address.startsWith('::ffff:')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head.split(':').filter((group) => group !== '');
  return tail === undefined || groups.length >= 4 ? groups.slice(0, 4).join(':') : address;
}

function tooMany(seconds: number): ServiceError {
  return new ServiceError(
    'too-many-failed-logins',
    `Too many failed logins from this address: wait ${seconds} s and use the right password.`,
    { extra: { retry_after_seconds: seconds } },
  );
}
