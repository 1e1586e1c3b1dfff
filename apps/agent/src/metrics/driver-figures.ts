/** What drivers tell of themselves (`stats`, `health`): asked when somebody looks, within bounds, whatever they answer. */
import type { Clock } from '@cyborg/service/clock';
import type { SupervisedDriver } from '../driver-host/supervised-driver.ts';
import type { Log } from '../log.ts';
import { messageOf } from '../hypervisors/node-error.ts';
import type { Installations } from '../driver-host/installations.ts';
import type { AgentMetrics } from './agent-metrics.ts';
import { toFigures } from './figures.ts';

/** Looking is not free for a driver. */
const askEveryMs = 15_000;

interface DriverFiguresDeps {
  readonly metrics: AgentMetrics;
  readonly drivers: Installations;
  readonly clock: Clock;
  readonly log: Log;
}

export class DriverFigures {
  readonly #deps: DriverFiguresDeps;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;

  constructor(deps: DriverFiguresDeps) {
    this.#deps = deps;
  }

  /** Resolves when every driver that has figures was asked, each within its deadline. */
  async refresh(): Promise<void> {
    const { clock } = this.#deps;
    if (this.#asking === undefined && clock.monotonicMs() - this.#askedAtMs < askEveryMs) return;
    this.#asking ??= this.#askAll().finally(() => {
      this.#asking = undefined;
      this.#askedAtMs = clock.monotonicMs();
    });
    await this.#asking;
  }

  async #askAll(): Promise<void> {
    const { metrics, drivers } = this.#deps;
    const asked = await Promise.all(
      [...drivers.running()].flatMap(({ driver, backends }) => {
        const { id } = driver.package;
        return backends.map(async (backend) => ({
          labels: { driver: id, backend },
          stats: await this.#ask('stats', driver, () => driver.call('stats', { backend })),
          health: await this.#ask('health', driver, () => driver.call('health', { backend })),
        }));
      }),
    );
    for (const gauge of [metrics.figures, metrics.figuresLeftOut, metrics.health]) gauge.reset();
    for (const { labels, stats, health } of asked) {
      if (stats !== undefined) {
        const { shown, leftOut } = toFigures(stats);
        for (const [name, value] of shown) metrics.figures.set({ ...labels, name }, value);
        metrics.figuresLeftOut.set(labels, leftOut);
      }
      for (const { status } of Object.values(health ?? {})) {
        metrics.health.inc({ ...labels, status });
      }
    }
  }

  async #ask<Answer>(
    method: 'stats' | 'health',
    driver: SupervisedDriver,
    call: () => Promise<Answer>,
  ): Promise<Answer | undefined> {
    if (!driver.capabilities.has(method)) return undefined;
    try {
      return await call();
    } catch (error) {
      const fields = { driver: driver.package.id, reason: messageOf(error) };
      this.#deps.log.debug(fields, `a driver did not tell its ${method}`);
      return undefined;
    }
  }
}
