import type { ConductorDeps } from '../deps.ts';
import type { DryRunView } from '../dry-run.ts';
import type { Handler } from '../handler.ts';
import { createAccelerator, type CreateAcceleratorInput } from './create-accelerator.ts';
import { deleteAccelerator, type DeleteAcceleratorInput } from './delete-accelerator.ts';
import type { AcceleratorView } from './view.ts';

export interface AcceleratorCreationHandlers {
  readonly createAccelerator: Handler<CreateAcceleratorInput, AcceleratorView | DryRunView>;
  readonly deleteAccelerator: Handler<DeleteAcceleratorInput, null | DryRunView>;
}

export function makeAcceleratorCreationHandlers(deps: ConductorDeps): AcceleratorCreationHandlers {
  return {
    createAccelerator: (caller, input) => createAccelerator(deps, caller, input),
    deleteAccelerator: (caller, input) => deleteAccelerator(deps, caller, input),
  };
}
