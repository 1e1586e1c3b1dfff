/** What the parts of the agent tell of what they do, as it ends; without a listener nobody hears it. */
import { DriverCallError } from '@cyborg/driver-host/driver-error';
import type { Clock } from '@cyborg/service/clock';
import { HypervisorError } from '../hypervisors/hypervisor.ts';
import type { AgentMetrics } from './agent-metrics.ts';

/** What was done, by bounded names: a driver's id, a method, an act. */
export type Done =
  | { readonly what: 'driver-call'; readonly driver: string; readonly method: string }
  | { readonly what: 'driver-start'; readonly driver: string }
  | { readonly what: 'privileged-act'; readonly method: string }
  | { readonly what: 'hypervisor-call'; readonly hypervisor: string; readonly act: string };

export interface Measures {
  /** Runs it and notes how long it took and how it ended. */
  timed<Result>(done: Done, work: () => Promise<Result>): Promise<Result>;
  driverCrashed(driver: string): void;
  orderEnded(act: string, outcome: string, seconds: number): void;
}

export function makeMeasures(
  metrics: AgentMetrics,
  { monotonicMs }: Pick<Clock, 'monotonicMs'>,
): Measures {
  return {
    async timed(done, work) {
      const beganMs = monotonicMs();
      const note = (outcome: string): void =>
        noteDone(metrics, done, { outcome, seconds: (monotonicMs() - beganMs) / 1000 });
      try {
        const result = await work();
        note('ok');
        return result;
      } catch (error) {
        note(outcomeOf(error));
        throw error;
      }
    },
    driverCrashed: (driver) => metrics.crashes.inc({ driver }),
    orderEnded: (act, outcome, seconds) => metrics.orderSeconds.observe({ act, outcome }, seconds),
  };
}

function noteDone(
  metrics: AgentMetrics,
  done: Done,
  { outcome, seconds }: { readonly outcome: string; readonly seconds: number },
): void {
  switch (done.what) {
    case 'driver-call':
      metrics.callSeconds.observe({ driver: done.driver, method: done.method, outcome }, seconds);
      return;
    case 'driver-start':
      metrics.starts.inc({ driver: done.driver, outcome });
      return;
    case 'privileged-act':
      metrics.actSeconds.observe({ method: done.method, outcome }, seconds);
      return;
    case 'hypervisor-call':
      metrics.hypervisorSeconds.observe(
        { hypervisor: done.hypervisor, act: done.act, outcome },
        seconds,
      );
  }
}

/** The codes of drivers and hypervisors are lists of ours; anything else that is thrown is one word. */
function outcomeOf(error: unknown): string {
  if (error instanceof DriverCallError) return error.failure;
  if (error instanceof HypervisorError) return error.code;
  return 'failed';
}
