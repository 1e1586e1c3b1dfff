/** From what the caller wrote to the backends of a deployment: kinds, checked configurations, selectors. */
import { isAdmin } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import type { BackendConfig, HostSelector, Rollout } from '@cyborg/store/schema-deployments';
import type { DriverManifest, DriverManifestKind } from '@cyborg/store/schema-drivers';

import { bareSelector, withoutServed } from './bare.ts';
import { checkConfig, checkDelegable, kindOf } from './config.ts';
import { namedHosts, type DeploymentBackendRow, type DeploymentContext } from './context.ts';
import { carries } from './selectors.ts';

export interface BackendWish {
  readonly name: string;
  readonly kind?: string | undefined;
  readonly hosts?: readonly string[] | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly config?: BackendConfig | undefined;
}

export type RolloutWish = {
  readonly [Key in keyof Rollout]?: Rollout[Key] | undefined;
};

export interface InstallBody {
  readonly version?: string | undefined;
  readonly rollout?: RolloutWish | undefined;
  readonly hosts?: readonly string[] | undefined;
  readonly backends?: readonly BackendWish[] | undefined;
}

export interface Wish {
  readonly name: string;
  readonly kind: DriverManifestKind;
  /** As written. */
  readonly config: BackendConfig;
  /** With defaults. */
  readonly filled: BackendConfig;
  /** The caller wrote a configuration, so it is meant to be this one. */
  readonly isConfigGiven: boolean;
  readonly selector: HostSelector;
}

/**
 * A wish that is for no host is left out: a bare one, where others serve every host.
 *
 * @throws ServiceError `invalid-input`, `key-not-delegable`, `host-not-found`, `forbidden`.
 */
export function readWishes(
  context: DeploymentContext,
  manifest: DriverManifest,
  body: InstallBody,
): Wish[] {
  const wanted = body.backends ?? manifest.default_backends.map(({ name }) => ({ name }));
  if (wanted.length === 0) {
    throw new ServiceError(
      'invalid-input',
      `backends: driver ${context.known.driver.id} has no default backends: name at least one.`,
    );
  }
  const names = wanted.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new ServiceError('invalid-input', `backends: "${twice}" is given twice.`);
  }
  const isBare = isBareInstall(body);
  const wishes = wanted.map((wish) =>
    readWish(context, manifest, { hosts: body.hosts, isBare, ...wish }),
  );
  return wishes.filter(({ selector }) => selector.kind !== 'hosts' || selector.host_ids.length > 0);
}

/** Neither backends nor hosts: what is served already stays as it is. */
export function isBareInstall({ backends, hosts }: InstallBody): boolean {
  return backends === undefined && hosts === undefined;
}

interface SomeWish extends BackendWish {
  readonly isBare: boolean;
}

function readWish(context: DeploymentContext, manifest: DriverManifest, wish: SomeWish): Wish {
  const preset = manifest.default_backends.find(({ name }) => name === wish.name);
  const kept = context.backends.find(({ name }) => name === wish.name);
  const kindName =
    wish.kind ?? kept?.kind ?? preset?.kind ?? onlyKind(manifest) ?? namedLikeKind(manifest, wish);
  if (kindName === undefined) {
    const kinds = manifest.kinds.map(({ kind }) => kind).join(', ');
    throw new ServiceError(
      'invalid-input',
      `backend ${wish.name}: say its kind; this driver has ${kinds}.`,
    );
  }
  const kind = kindOf(manifest, { backend: wish.name, kind: kindName });
  // Before the configuration, which is another kind's.
  if (kept !== undefined && kept.kind !== kindName) throw otherKind(context, kept, kindName);
  const config = mergeless(wish.config ?? kept?.config ?? presetConfig(preset, kindName));
  const filled = checkConfig(kind, { backend: wish.name, config });
  if (kept === undefined && !isAdmin(context.caller)) {
    checkDelegable(kind, {
      backend: wish.name,
      before: presetConfig(preset, kindName),
      after: config,
    });
  }
  return {
    name: wish.name,
    kind,
    config,
    filled,
    isConfigGiven: wish.config !== undefined,
    selector: readSelector(context, wish),
  };
}

function otherKind(
  { known }: DeploymentContext,
  { name, kind }: DeploymentBackendRow,
  wanted: string,
): ServiceError {
  return new ServiceError(
    'already-exists',
    `backend ${name}: is installed with kind ${kind}, and this asks for kind ${wanted}: choose another name for it, ` +
      `or uninstall the one of kind ${kind} first (\`cyborg uninstall-driver ${known.driver.id} --backend ${name}\`).`,
  );
}

/** A null in a new configuration is the default: as if it were not written. */
function mergeless(config: BackendConfig): BackendConfig {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== null));
}

function presetConfig(
  preset: DriverManifest['default_backends'][number] | undefined,
  kind: string,
): BackendConfig {
  return preset?.kind === kind ? preset.config : {};
}

function onlyKind(manifest: DriverManifest): string | undefined {
  return manifest.kinds.length === 1 ? manifest.kinds[0]?.kind : undefined;
}

function namedLikeKind(manifest: DriverManifest, { name }: BackendWish): string | undefined {
  return manifest.kinds.find(({ kind }) => kind === name)?.kind;
}

/**
 * Without a choice: every host for an admin; for a manager the granted ones, by name, so that a later host of somebody
 * else's is not taken in.
 */
function readSelector(context: DeploymentContext, wish: SomeWish): HostSelector {
  const { name, hosts, labels, isBare } = wish;
  if (hosts !== undefined && labels !== undefined) {
    throw new ServiceError('invalid-input', `backend ${name}: give hosts or labels, not both.`);
  }
  if (hosts !== undefined) {
    const ids = namedHosts(context, { hosts, backend: name }).map(({ id }) => id);
    return { kind: 'hosts', host_ids: [...new Set(ids)].toSorted() };
  }
  if (isAdmin(context.caller)) {
    if (isBare) return bareSelector(context, name);
    return labels === undefined ? { kind: 'all' } : { kind: 'labels', labels };
  }
  const granted = context.hosts.filter(
    (host) => context.mayUse(host.id, name) && carries(host, labels ?? {}),
  );
  if (granted.length === 0) {
    throw new ServiceError(
      'host-not-found',
      `backend ${name}: no host is granted to your project for it: ask an admin for a grant.`,
    );
  }
  const chosen = isBare ? withoutServed(context, granted, name) : granted;
  return { kind: 'hosts', host_ids: chosen.map(({ id }) => id).toSorted() };
}
