import type { ConductorDeps } from '../deps.ts';
import type { DryRunView } from '../dry-run.ts';
import type { Handler } from '../handler.ts';
import type { OperationView } from '../operations/read-operations.ts';
import { programAccelerator, type ProgramAcceleratorInput } from './program-accelerator.ts';
import { uploadProgram, type UploadProgramInput, type UploadView } from './upload-program.ts';

export interface ProgramHandlers {
  readonly uploadProgram: Handler<UploadProgramInput, UploadView | DryRunView>;
  readonly programAccelerator: Handler<ProgramAcceleratorInput, OperationView | DryRunView>;
}

export function makeProgramHandlers(deps: ConductorDeps): ProgramHandlers {
  return {
    uploadProgram: (caller, input) => uploadProgram(deps, caller, input),
    programAccelerator: (caller, input) => programAccelerator(deps, caller, input),
  };
}
