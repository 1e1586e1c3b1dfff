/** Which hosts a backend of a deployment is for. */
import type { HostSelector } from '@cyborg/store/schema-deployments';

export interface SelectableHost {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
}

export function selects(selector: HostSelector, host: SelectableHost): boolean {
  switch (selector.kind) {
    case 'hosts':
      return selector.host_ids.includes(host.id);
    case 'all':
      return !isExcepted(selector, host.id);
    case 'labels':
      return !isExcepted(selector, host.id) && carries(host, selector.labels);
  }
}

function isExcepted(
  selector: Extract<HostSelector, { kind: 'all' | 'labels' }>,
  hostId: string,
): boolean {
  return selector.except_host_ids?.includes(hostId) ?? false;
}

export function carries(host: SelectableHost, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(labels).every(([key, value]) => host.labels[key] === value);
}

/** Both selectors' hosts in one; undefined when no selector says that. */
export function union(
  kept: HostSelector,
  added: HostSelector,
  hosts: readonly SelectableHost[],
): HostSelector | undefined {
  if (kept.kind === 'all') return unionWithAll(kept, added, hosts);
  if (added.kind === 'all') return unionWithAll(added, kept, hosts);
  if (kept.kind === 'hosts' && added.kind === 'hosts') {
    return { kind: 'hosts', host_ids: [...new Set([...kept.host_ids, ...added.host_ids])] };
  }
  if (kept.kind === 'labels' && added.kind === 'hosts') {
    const back = new Set(added.host_ids);
    const except = (kept.except_host_ids ?? []).filter((id) => !back.has(id));
    const widened: HostSelector = { ...kept, except_host_ids: except };
    const named = hosts.filter(({ id }) => back.has(id));
    return named.every((host) => selects(widened, host)) ? widened : undefined;
  }
  const isSame =
    kept.kind === 'labels' &&
    added.kind === 'labels' &&
    JSON.stringify(sorted(kept.labels)) === JSON.stringify(sorted(added.labels));
  return isSame ? added : undefined;
}

/** Left out is what neither selects. */
function unionWithAll(
  all: Extract<HostSelector, { kind: 'all' }>,
  other: HostSelector,
  hosts: readonly SelectableHost[],
): HostSelector {
  const except = (all.except_host_ids ?? []).filter((id) => {
    const host = hosts.find((one) => one.id === id) ?? { id, labels: {} };
    return !selects(other, host);
  });
  return except.length === 0 ? { kind: 'all' } : { kind: 'all', except_host_ids: except };
}

/** Without these hosts; undefined when none is left. */
export function without(
  selector: HostSelector,
  hostIds: readonly string[],
): HostSelector | undefined {
  if (selector.kind === 'hosts') {
    const left = selector.host_ids.filter((id) => !hostIds.includes(id));
    return left.length === 0 ? undefined : { kind: 'hosts', host_ids: left };
  }
  const except = new Set([...(selector.except_host_ids ?? []), ...hostIds]);
  return { ...selector, except_host_ids: [...except].toSorted() };
}

/** The same hosts now and later? Judged by what the selectors say, not by their hosts of today. */
export function isSameSelector(a: HostSelector, b: HostSelector): boolean {
  return JSON.stringify(normal(a)) === JSON.stringify(normal(b));
}

function normal(selector: HostSelector): unknown {
  switch (selector.kind) {
    case 'hosts':
      return ['hosts', selector.host_ids.toSorted()];
    case 'all':
      return ['all', selector.except_host_ids?.toSorted() ?? []];
    case 'labels':
      return ['labels', sorted(selector.labels), selector.except_host_ids?.toSorted() ?? []];
  }
}

function sorted(labels: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1));
}
