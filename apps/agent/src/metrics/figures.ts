/** What of a driver's `stats` is shown: numbers with plain names, and not too many. */
import { driverLogLimits } from '@cyborg/api-spec/driver-log';

const namePattern = /^[A-Za-z][A-Za-z0-9_.:-]{0,63}$/;

export interface Figures {
  readonly shown: ReadonlyMap<string, number>;
  readonly leftOut: number;
}

/** Finite numbers and truth values, in the order of their names. */
export function toFigures(stats: Readonly<Record<string, unknown>>): Figures {
  const entries = Object.entries(stats);
  const numbers = entries.flatMap(([name, value]): [string, number][] => {
    if (!namePattern.test(name)) return [];
    if (typeof value === 'boolean') return [[name, value ? 1 : 0]];
    return typeof value === 'number' && Number.isFinite(value) ? [[name, value]] : [];
  });
  const shown = numbers
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, driverLogLimits.figuresMax);
  return { shown: new Map(shown), leftOut: entries.length - shown.length };
}
