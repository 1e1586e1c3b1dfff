/** The traces for which something waits to be told to the server: one request tells of several. */
import { traced, traceParent } from '@cyborg/service/tracing';

const causesMax = 32;

export class Causes {
  #waiting = new Set<string>();

  /** Something was added to what waits, as a part of the trace that runs now. */
  note(): void {
    const cause = traceParent();
    if (cause !== null && this.#waiting.size < causesMax) this.#waiting.add(cause);
  }

  /** A part of the first trace, linked with the others. When it fails they wait for the next. */
  async tracedFor<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    const causes = [...this.#waiting];
    this.#waiting = new Set();
    const [parent, ...links] = causes;
    try {
      return await traced(name, { parent, links, kind: 'producer' }, work);
    } catch (error) {
      this.#waiting = new Set([...causes, ...this.#waiting].slice(0, causesMax));
      throw error;
    }
  }
}
