/** A bare install names neither hosts nor backends: it is for the hosts that no backend of the driver is for yet. */
import type { HostSelector } from '@cyborg/store/schema-deployments';

import type { DeploymentContext, FleetHost } from './context.ts';
import { selects } from './selectors.ts';

export function isServed({ backends }: DeploymentContext, host: FleetHost): boolean {
  return backends.some(({ selector }) => selects(selector, host));
}

/** Served by backends of other names alone: a default backend of this name stays away. */
function isServedByOthers(context: DeploymentContext, host: FleetHost, name: string): boolean {
  const kept = context.backends.find((row) => row.name === name);
  return isServed(context, host) && !(kept !== undefined && selects(kept.selector, host));
}

/**
 * Every host that is not served by others, and those that join later; when a backend of another name is for later hosts
 * too, only the hosts of now: which of the two a later host gets could not be said.
 */
export function bareSelector(context: DeploymentContext, name: string): HostSelector {
  const others = context.hosts.filter((host) => isServedByOthers(context, host, name));
  const ids = others.map(({ id }) => id).toSorted();
  const isOpen = context.backends.some(
    (row) => row.name !== name && row.selector.kind !== 'hosts' && !isOwn(context, row.name),
  );
  if (isOpen) {
    const left = context.hosts.filter(({ id }) => !ids.includes(id));
    return { kind: 'hosts', host_ids: left.map(({ id }) => id).toSorted() };
  }
  return ids.length === 0 ? { kind: 'all' } : { kind: 'all', except_host_ids: ids };
}

/** Default backends stand beside each other on a host. */
function isOwn({ known }: DeploymentContext, name: string): boolean {
  return known.versions.some(({ manifest }) =>
    manifest.default_backends.some((preset) => preset.name === name),
  );
}

export function withoutServed(
  context: DeploymentContext,
  hosts: readonly FleetHost[],
  name: string,
): FleetHost[] {
  return hosts.filter((host) => !isServedByOthers(context, host, name));
}
