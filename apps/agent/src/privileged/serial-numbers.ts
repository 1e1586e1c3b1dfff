/** Tells a driver by what numbers cards are known: VPD and the extended configuration space are root's to read. */
import type { AgentResult } from '@cyborg/driver-sdk/protocol';
import type { Looks } from './looks.ts';
import type { ReadIdentity } from './serial-numbers-scan.ts';

export interface SerialNumbersDeps {
  readonly looks: Looks;
  readonly simulated: boolean;
  readonly roots: { readonly sysfs: string };
}

export class SerialNumbers {
  readonly #deps: SerialNumbersDeps;
  readonly #known = new Map<string, ReadIdentity>();

  constructor(deps: SerialNumbersDeps) {
    this.#deps = deps;
  }

  /** @throws DriverCallError `transient` when it takes too long, or the backend asks again before it has its answer. */
  async read(
    backendId: string,
    addresses: readonly string[],
  ): Promise<AgentResult<'serialNumbers'>> {
    const { looks, simulated, roots } = this.#deps;
    // A recorded tree has what its recorder was shown.
    if (simulated) return { functions: [] };
    const known = [...this.#known.values()];
    const read = await looks.find('serialNumbers', backendId, {
      serialNumbers: { sysfs: roots.sysfs, addresses, known },
    });
    for (const one of read) this.#known.set(one.address, one);
    return { functions: read.map(({ address, dsn, vpd }) => ({ address, dsn, vpd })) };
  }
}
