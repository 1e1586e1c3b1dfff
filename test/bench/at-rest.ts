/** Memory and CPU of a fleet that nobody asks anything. */
import type { BenchFleet } from './fleet.ts';
import { cpuMs, pssMiB } from './process-figures.ts';
import type { BenchReport } from './report.ts';

const bounds = { server: 200, agent: 120, driver: 70 } as const;
const cpuShareMax = 0.01;

export async function benchAtRest(
  fleet: BenchFleet,
  report: BenchReport,
  { seconds }: { seconds: number },
): Promise<void> {
  const parts = [
    { kind: 'server', pid: fleet.server.pid },
    { kind: 'agent', pid: fleet.agent.pid },
    ...fleet.drivers().map(({ pid }) => ({ kind: 'driver', pid }) as const),
  ] as const;
  const before = parts.map(({ pid }) => cpuMs(pid));
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000)); // the thing measured is time passing
  for (const [index, { kind, pid }] of parts.entries()) {
    report.figure({
      name: `${kind} at rest, proportional set size`,
      value: pssMiB(pid),
      unit: 'MiB',
      bound: { kind: 'at-most', value: bounds[kind] },
    });
    report.figure({
      name: `${kind} at rest, share of a core`,
      value: (cpuMs(pid) - (before[index] ?? 0)) / (seconds * 1000),
      unit: '',
      bound: { kind: 'at-most', value: cpuShareMax },
    });
  }
}
