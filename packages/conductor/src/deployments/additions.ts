/**
 * Accelerators made by request (`accelerator-create`) reach the driver in its configuration, beside what an operator
 * wrote there: they are kept apart in the ledger, because each belongs to one host.
 */
import type { BackendAddition, BackendConfig } from '@cyborg/store/schema-deployments';

/** The list of the configuration that `accelerator-create` adds to, by kind. */
const listOfKind: Readonly<Record<string, string>> = {
  virtual: 'additional',
  static: 'accelerators',
};

/** Undefined for a kind to which nothing can be added. */
export function additionsKey(kind: string): string | undefined {
  return Object.hasOwn(listOfKind, kind) ? listOfKind[kind] : undefined;
}

export function withAdditions(
  kind: string,
  config: BackendConfig,
  additions: readonly BackendAddition[],
): BackendConfig {
  const key = additionsKey(kind);
  if (key === undefined || additions.length === 0) return config;
  const written: unknown = config[key];
  return { ...config, [key]: [...(Array.isArray(written) ? written : []), ...additions] };
}
