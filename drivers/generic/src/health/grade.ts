/** From signs to health, with what went before: errors count for a while, and a limit is left with some distance. */
import type { Health } from '@cyborg/driver-sdk/protocol';
import type { HealthSource } from '../definitions/schema.ts';
import type { ErrorCounts, Link, Signs, Temperature } from './sources.ts';

export const healthLimits = {
  /** Errors that are older no longer count: a card gets well by itself. */
  errorWindowMs: 600_000,
  /** Corrected errors are the link's daily bread; more than these within the window are not. */
  correctableMax: 100,
  /** Below a limit by this, where the sensor names no such temperature, in thousandths of a degree. */
  hysteresis: 3000,
} as const;

/** What is remembered of a card between readings. */
export interface History {
  /** Counts with the time when they were first seen, the oldest first. The first is what counts are compared with. */
  readonly errors: readonly { readonly atMs: number; readonly counts: ErrorCounts }[];
  /** Sensors that are over a limit until they are well below it. */
  readonly hot: Readonly<Record<string, 'max' | 'critical'>>;
  /** It did not answer. */
  readonly isSilent: boolean;
}

export const noHistory: History = { errors: [], hot: {}, isSilent: false };

interface Finding {
  readonly status: 'degraded' | 'failed';
  readonly text: string;
}

export interface GradeInput {
  readonly signs: Signs;
  readonly sources: readonly HealthSource[];
  readonly before: History;
  /** Monotonic. */
  readonly nowMs: number;
}

/**
 * The texts say limits and not readings: a reading that changes is no news while the grade is the same.
 */
export function grade(input: GradeInput): { health: Health; history: History } {
  const { signs, sources, before, nowMs } = input;
  const errors = remember(before.errors, signs.errors, nowMs);
  const hot = signs.temperatures.flatMap((sensor) => {
    const state = heatOf(sensor, before.hot[sensor.name]);
    return state === undefined ? [] : [{ sensor, state }];
  });
  const findings = [
    ...(signs.isSilent ? [silenceOf(before)] : []),
    ...findErrors(errors, signs.errors),
    ...(signs.link === null ? [] : findSlowLink(signs.link, sources)),
    ...hot.map(({ sensor, state }) => describeHeat(sensor, state)),
  ];
  const history = {
    errors,
    hot: Object.fromEntries(hot.map(({ sensor, state }) => [sensor.name, state])),
    isSilent: signs.isSilent,
  };
  return { health: toHealth(findings), history };
}

/** A card that its guest resets is silent for a moment. */
function silenceOf({ isSilent: wasSilent }: History): Finding {
  if (!wasSilent) return { status: 'degraded', text: 'the card did not answer on the bus' };
  return { status: 'failed', text: 'the card does not answer on the bus' };
}

function toHealth(findings: readonly Finding[]): Health {
  if (findings.length === 0) return { status: 'healthy', reason: null };
  const failed = findings.filter(({ status }) => status === 'failed');
  const order = [...failed, ...findings.filter(({ status }) => status !== 'failed')];
  const reason = order
    .map(({ text }) => text)
    .join('; ')
    .slice(0, 1024);
  return { status: failed.length > 0 ? 'failed' : 'degraded', reason };
}

type Errors = History['errors'];

/** Adds the counts where they are new, and drops what is too old, but for the one that the rest is compared with. */
function remember(before: Errors, counts: ErrorCounts | null, nowMs: number): Errors {
  if (counts === null) return [];
  const last = before.at(-1)?.counts;
  const isSame =
    last !== undefined &&
    last.correctable === counts.correctable &&
    last.nonfatal === counts.nonfatal &&
    last.fatal === counts.fatal;
  // A card that was reset or swapped counts from the beginning: so do we.
  const isLess =
    last !== undefined &&
    (counts.correctable < last.correctable ||
      counts.nonfatal < last.nonfatal ||
      counts.fatal < last.fatal);
  const all = isSame ? before : [...(isLess ? [] : before), { atMs: nowMs, counts }];
  const firstInWindow = all.findIndex(({ atMs }) => nowMs - atMs < healthLimits.errorWindowMs);
  const keepFrom = firstInWindow === -1 ? all.length - 1 : Math.max(0, firstInWindow - 1);
  return all.slice(keepFrom);
}

function findErrors(errors: Errors, counts: ErrorCounts | null): Finding[] {
  const base = errors[0]?.counts;
  if (counts === null || base === undefined) return [];
  const minutes = healthLimits.errorWindowMs / 60_000;
  const within = `within ${minutes} minutes`;
  const findings: Finding[] = [];
  if (counts.fatal > base.fatal) {
    findings.push({ status: 'failed', text: `fatal PCIe errors ${within}` });
  }
  if (counts.nonfatal > base.nonfatal) {
    findings.push({ status: 'degraded', text: `uncorrected PCIe errors ${within}` });
  }
  if (counts.correctable - base.correctable > healthLimits.correctableMax) {
    const text = `more than ${healthLimits.correctableMax} corrected PCIe errors ${within}`;
    findings.push({ status: 'degraded', text });
  }
  return findings;
}

function findSlowLink(link: Link, sources: readonly HealthSource[]): Finding[] {
  const findings: Finding[] = [];
  if (link.width < link.widthMax) {
    const text = `the PCIe link has ${link.width} of ${link.widthMax} lanes`;
    findings.push({ status: 'degraded', text });
  }
  if (sources.includes('link') && link.speed < link.speedMax) {
    const text = `the PCIe link runs at ${link.speed} of ${link.speedMax} GT/s`;
    findings.push({ status: 'degraded', text });
  }
  return findings;
}

function heatOf(
  sensor: Temperature,
  before: 'max' | 'critical' | undefined,
): History['hot'][string] | undefined {
  const { value, critical, criticalCleared, max, maxCleared } = sensor;
  const isOver = (limit: number | null, cleared: number | null, wasOver: boolean): boolean => {
    if (limit === null) return false;
    const least = wasOver ? Math.min(cleared ?? limit - healthLimits.hysteresis, limit) : limit;
    return value >= least;
  };
  if (isOver(critical, criticalCleared, before === 'critical')) return 'critical';
  return isOver(max, maxCleared, before !== undefined) ? 'max' : undefined;
}

function describeHeat(sensor: Temperature, state: 'max' | 'critical'): Finding {
  const limit = (state === 'critical' ? sensor.critical : sensor.max) ?? 0;
  const degrees = `${limit / 1000} °C`;
  return state === 'critical'
    ? {
        status: 'failed',
        text: `temperature ${sensor.name} is at its critical limit of ${degrees}`,
      }
    : { status: 'degraded', text: `temperature ${sensor.name} is at its limit of ${degrees}` };
}
