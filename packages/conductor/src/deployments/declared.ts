/** What backends of kind `static` declare, and where two declarations, or a rule, mean the same thing. */
import type { BackendConfig } from '@cyborg/store/schema-deployments';

import { claimOfPlan, functionIn, sharedBy, type Claim } from '../inventory/claims.ts';

/** An accelerator made by request on one host. */
export interface HostedAddition {
  readonly host: string;
  readonly item: Readonly<Record<string, unknown>>;
}

export interface Declared {
  readonly key: string;
  /** Undefined: on every host of the backend. */
  readonly host: string | undefined;
  readonly claim: Claim;
}

export function declaredBy(
  config: BackendConfig,
  additions: readonly HostedAddition[] = [],
): Declared[] {
  const list: unknown = config['accelerators'];
  const items: unknown[] = Array.isArray(list) ? list : [];
  return [
    ...items.map((item) => toDeclared(item, undefined)),
    ...additions.map(({ item, host }) => toDeclared(item, host)),
  ];
}

function toDeclared(item: unknown, host: string | undefined): Declared {
  const fields = new Map<string, unknown>(
    typeof item === 'object' && item !== null ? Object.entries(item) : [],
  );
  return { key: String(fields.get('key')), host, claim: claimOfPlan(fields.get('plan')) };
}

const mayShareHost = (a: Declared, b: Declared): boolean =>
  a.host === undefined || b.host === undefined || a.host === b.host;

/** The first two that mean the same thing, in words; undefined when there are none. */
export function sharedByDeclared(
  ours: readonly Declared[],
  theirs: readonly Declared[],
): string | undefined {
  for (const one of ours) {
    for (const other of theirs) {
      const what = mayShareHost(one, other) ? sharedBy(one.claim, other.claim) : undefined;
      if (what !== undefined) return `both declare ${what}`;
    }
  }
  return undefined;
}

/** Within one list: names both entries. */
export function declaredTwice(list: readonly Declared[]): string | undefined {
  for (const [index, one] of list.entries()) {
    for (const other of list.slice(index + 1)) {
      const isSameKey = mayShareHost(one, other) && one.key === other.key;
      if (isSameKey) return `key "${one.key}" is given twice`;
      const what = sharedByDeclared([one], [other]);
      if (what !== undefined) return `"${one.key}" and "${other.key}" ${what}; declare it once`;
    }
  }
  return undefined;
}

/** The address of the function that it is, or is a part of. */
export function functionOf({ claim }: Declared): string | undefined {
  return functionIn(claim.whole) ?? functionIn(claim.part);
}
