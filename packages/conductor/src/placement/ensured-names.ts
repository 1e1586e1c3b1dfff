/** Resource classes and traits that Placement has, as far as this process has seen. */
import type { PlacementCall, PlacementClient } from '@cyborg/openstack/placement';

export interface EnsuredNames {
  /** @throws {OpenStackError} when it cannot be there: a standard one that this Placement does not know. */
  resourceClass(name: string, call: PlacementCall): Promise<void>;
  trait(name: string, call: PlacementCall): Promise<void>;
  /** Somebody has removed one. */
  forget(): void;
}

export function makeEnsuredNames(placement: PlacementClient): EnsuredNames {
  const classes = new Set<string>();
  const traits = new Set<string>();
  return {
    async resourceClass(name, call) {
      if (classes.has(name)) return;
      await placement.ensureResourceClass(name, call);
      classes.add(name);
    },
    async trait(name, call) {
      if (traits.has(name)) return;
      await placement.ensureTrait(name, call);
      traits.add(name);
    },
    forget() {
      classes.clear();
      traits.clear();
    },
  };
}
