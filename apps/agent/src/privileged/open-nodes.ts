/** Tells a driver who has device nodes open: as root the agent can see that, and the driver cannot. */
import type { AgentResult } from '@cyborg/driver-sdk/protocol';
import type { Looks } from './looks.ts';

export interface OpenNodesDeps {
  readonly looks: Looks;
  readonly simulated: boolean;
  readonly roots: { readonly proc: string };
  /** Processes of acts, whose looks and claims are nobody's use. */
  readonly own: () => readonly number[];
}

export class OpenNodes {
  readonly #deps: OpenNodesDeps;

  constructor(deps: OpenNodesDeps) {
    this.#deps = deps;
  }

  /** @throws DriverCallError `transient` when it takes too long, or the backend asks again before it has its answer. */
  async find(backendId: string, nodes: readonly string[]): Promise<AgentResult<'openNodes'>> {
    const { looks, simulated, roots, own } = this.#deps;
    // The processes of this machine say nothing of a recorded one.
    if (simulated) return { complete: false, open: [] };
    return await looks.find('openNodes', backendId, {
      openNodes: { proc: roots.proc, nodes, own: own() },
    });
  }

  /** Somebody is about to ask. */
  warm(): void {
    if (!this.#deps.simulated) this.#deps.looks.warm();
  }
}
