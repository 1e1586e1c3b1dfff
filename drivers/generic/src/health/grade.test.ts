import { describe, it } from 'vitest';
import type { Health } from '@cyborg/driver-sdk/protocol';
import type { HealthSource } from '../definitions/schema.ts';
import { grade, healthLimits, noHistory, type History } from './grade.ts';
import type { ErrorCounts, Link, Signs, Temperature } from './sources.ts';

const quiet: Signs = { isSilent: false, errors: null, link: null, temperatures: [] };
const none: ErrorCounts = { correctable: 7, nonfatal: 0, fatal: 0 };
const minute = 60_000;

/** Grades one sign after the other, with what went before. */
function gradeAll(
  readings: readonly (readonly [nowMs: number, signs: Partial<Signs>])[],
  sources: readonly HealthSource[] = ['aer', 'link', 'hwmon'],
): Health[] {
  let before: History = noHistory;
  return readings.map(([nowMs, signs]) => {
    const { health, history } = grade({ signs: { ...quiet, ...signs }, sources, before, nowMs });
    before = history;
    return health;
  });
}

const statuses = (healths: readonly Health[]): string[] => healths.map(({ status }) => status);

describe('PCIe errors', () => {
  it('before the first reading do not count, whatever they were', ({ expect }) => {
    const old = { correctable: 9000, nonfatal: 3, fatal: 1 };
    expect(gradeAll([[0, { errors: old }]])).toEqual([{ status: 'healthy', reason: null }]);
  });

  it('degrade a card when uncorrected, fail it when fatal, and are forgotten after a while', ({
    expect,
  }) => {
    const found = gradeAll([
      [0, { errors: none }],
      [minute, { errors: { ...none, nonfatal: 1 } }],
      [2 * minute, { errors: { ...none, nonfatal: 1, fatal: 1 } }],
      [10 * minute, { errors: { ...none, nonfatal: 1, fatal: 1 } }],
      [11 * minute, { errors: { ...none, nonfatal: 1, fatal: 1 } }],
      [12 * minute, { errors: { ...none, nonfatal: 1, fatal: 1 } }],
    ]);
    expect(statuses(found)).toEqual([
      'healthy',
      'degraded',
      'failed',
      'failed',
      'failed',
      'healthy',
    ]);
    expect(found[1]?.reason).toBe('uncorrected PCIe errors within 10 minutes');
    expect(found[2]?.reason).toBe(
      'fatal PCIe errors within 10 minutes; uncorrected PCIe errors within 10 minutes',
    );
    expect(found[4]?.reason).toBe('fatal PCIe errors within 10 minutes');
  });

  it('that were corrected count when they are many, however they come', ({ expect }) => {
    const step = healthLimits.correctableMax / 4;
    const readings = Array.from({ length: 6 }, (_, index): [number, Partial<Signs>] => [
      index * minute,
      { errors: { ...none, correctable: 7 + index * step } },
    ]);
    expect(statuses(gradeAll(readings)).at(-2)).toBe('healthy');
    expect(statuses(gradeAll(readings)).at(-1)).toBe('degraded');
    const slow = readings.map(([ms, signs]): [number, Partial<Signs>] => [ms * 10, signs]);
    expect(new Set(statuses(gradeAll(slow)))).toEqual(new Set(['healthy']));
  });

  it('begin anew when the counters do, as after a reset', ({ expect }) => {
    const found = gradeAll([
      [0, { errors: none }],
      [minute, { errors: { ...none, fatal: 2 } }],
      [2 * minute, { errors: { correctable: 0, nonfatal: 0, fatal: 0 } }],
      [3 * minute, { errors: { correctable: 0, nonfatal: 0, fatal: 1 } }],
    ]);
    expect(statuses(found)).toEqual(['healthy', 'failed', 'healthy', 'failed']);
  });
});

describe('a card that fell off the bus', () => {
  it('has failed when it is silent at the next reading too, until it answers', ({ expect }) => {
    const found = gradeAll([
      [0, {}],
      [1, { isSilent: true }],
      [2, { isSilent: true }],
      [3, { isSilent: true }],
      [4, {}],
    ]);
    expect(statuses(found)).toEqual(['healthy', 'degraded', 'failed', 'failed', 'healthy']);
    expect(found[1]?.reason).toBe('the card did not answer on the bus');
    expect(found[2]?.reason).toBe('the card does not answer on the bus');
  });
});

describe('the link', () => {
  const link: Link = { speed: 16, width: 16, speedMax: 16, widthMax: 16 };

  it('degrades a card that has fewer lanes or less speed than card and port can do', ({
    expect,
  }) => {
    const found = gradeAll([
      [0, { link }],
      [1, { link: { ...link, width: 8 } }],
      [2, { link: { ...link, speed: 2.5 } }],
      [3, { link }],
    ]);
    expect(statuses(found)).toEqual(['healthy', 'degraded', 'degraded', 'healthy']);
    expect(found[1]?.reason).toBe('the PCIe link has 8 of 16 lanes');
    expect(found[2]?.reason).toBe('the PCIe link runs at 2.5 of 16 GT/s');
  });

  it('may be slow where only its width is looked at', ({ expect }) => {
    const slow = [0, { link: { ...link, speed: 2.5 } }] as const;
    expect(statuses(gradeAll([slow], ['link-width']))).toEqual(['healthy']);
  });
});

describe('a temperature', () => {
  const sensor: Temperature = {
    name: 'Composite',
    value: 40_000,
    max: 80_000,
    maxCleared: null,
    critical: 90_000,
    criticalCleared: 85_000,
  };
  const at = (value: number, more: Partial<Temperature> = {}): Partial<Signs> => ({
    temperatures: [{ ...sensor, ...more, value }],
  });

  it('degrades at its limit, fails at the critical one, and clears below with some distance', ({
    expect,
  }) => {
    const values = [40_000, 80_000, 78_000, 77_001, 76_999, 90_000, 86_000, 84_999, 76_000];
    const found = gradeAll(values.map((value, index) => [index, at(value)]));
    expect(statuses(found)).toEqual([
      'healthy',
      'degraded',
      'degraded',
      'degraded',
      'healthy',
      'failed',
      'failed',
      'degraded',
      'healthy',
    ]);
    expect(found[1]?.reason).toBe('temperature Composite is at its limit of 80 °C');
    expect(found[5]?.reason).toBe('temperature Composite is at its critical limit of 90 °C');
  });

  it('says the same while it moves above its limit, so that nobody is told twice', ({ expect }) => {
    const found = gradeAll([
      [0, at(81_000)],
      [1, at(84_000)],
    ]);
    expect(found[0]).toEqual(found[1]);
  });
});
