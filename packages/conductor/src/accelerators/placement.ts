/** Where the generic driver's kinds report an accelerator made by request: the device and deployable of these keys. */
import type { BackendAddition } from '@cyborg/store/schema-deployments';

export interface Placement {
  /** Of the device and of its deployable. */
  readonly key: string;
  readonly type: string;
  readonly resourceClass: string;
  readonly deployableName: string;
}

interface Target {
  readonly kind: string;
  readonly name: string;
  readonly host_name: string;
}

/** Type and class are a first guess, put right by the driver's report. */
export function placeOf(backend: Target, addition: BackendAddition): Placement {
  const isVirtual = backend.kind === 'virtual';
  const key = isVirtual ? String(addition['function']) : addition.key;
  const type = isVirtual ? key.toUpperCase() : String(addition['type']);
  const given: unknown = addition['resource_class'];
  return {
    key,
    type,
    resourceClass: typeof given === 'string' ? given : `CUSTOM_CYBORG_${type}`,
    deployableName: `${backend.host_name}_${backend.name}_${key}`.slice(0, 255),
  };
}
