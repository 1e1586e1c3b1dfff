/** Every kind of event: `<noun>.<what happened>`. A list's filter knows them, and `NewEvent` takes no other. */
import { acceleratorLifecycle } from './accelerator-lifecycle.ts';
import type { AcceleratorState } from './accelerator-lifecycle.ts';
import { attachmentLifecycle } from './attachment-lifecycle.ts';
import type { AttachmentState } from './attachment-lifecycle.ts';
import { installationLifecycle } from './installation-lifecycle.ts';
import type { InstallationState } from './installation-lifecycle.ts';
import { operationLifecycle } from './operation-lifecycle.ts';
import type { OperationState } from './operation-lifecycle.ts';

const others = [
  'accelerator.changed',
  'accelerator.cleaned',
  'accelerator.cleaning-waits',
  'accelerator.created',
  'accelerator.deleted',
  'accelerator.order-refused',
  'accelerator.removed',
  'accelerator.updated',
  'attachment.detach-continued',
  'attachment.lost',
  'attachment.nova-refused',
  'attachment.observed',
  'attachment.order-refused',
  'attachment.retrying',
  'attachment.unbound',
  'attribute.created',
  'attribute.deleted',
  'backend.added',
  'backend.blocked',
  'backend.configured',
  'backend.disabled',
  'backend.discovered',
  'backend.discovery-requested',
  'backend.draining',
  'backend.enabled',
  'backend.failed',
  'backend.first-inventory',
  'backend.pending',
  'backend.ready',
  'backend.removed',
  'backend.removing',
  'backend.restart-requested',
  'backend.stale',
  'deployable.program-failed',
  'deployable.program-staged',
  'deployable.programmed',
  'deployable.programming',
  'device.absent',
  'device.added',
  'device.changed',
  'device.disabled',
  'device.enabled',
  'device.identified',
  'device.removed',
  'device.returned',
  'driver.approved',
  'driver.conformance-reported',
  'driver.deleted',
  'driver.forced-uninstall',
  'driver.forced-update',
  'driver.installed',
  'driver.registered',
  'driver.rollout-paused',
  'driver.rollout-resumed',
  'driver.rolled-back',
  'driver.uninstalled',
  'driver.updated',
  'driver.uploaded',
  'grant.created',
  'grant.deleted',
  'host.changed',
  'host.conditions',
  'host.deleted',
  'host.disabled',
  'host.down',
  'host.enabled',
  'host.enrolled',
  'host.re-enrolled',
  'host.revoked',
  'host.second-agent',
  'host.up',
  'host.updated',
  'host.wrong-ledger',
  'installation.rolled-back',
  'instance.appeared',
  'instance.changed',
  'instance.missing',
  'instance.moved',
  'instance.returned',
  'instance.updated',
  'instance.vanished',
  'join-token.created',
  'join-token.deleted',
  'operation.progressed',
  'profile.created',
  'profile.deleted',
  'program.uploaded',
  'quota.updated',
  'release.limit-lifted',
  'release.limit-reached',
  'service.added',
  'service.changed',
  'service.disabled',
  'service.down',
  'service.enabled',
  'unclaimed.adopted',
  'unclaimed.found',
  'unclaimed.gone',
  'unclaimed.release-ordered',
  'unclaimed.release-waits',
  'unclaimed.released',
] as const;

export type EventKind =
  | (typeof others)[number]
  | `accelerator.${AcceleratorState}`
  | `attachment.${AttachmentState}`
  | `installation.${InstallationState}`
  | `operation.${OperationState}`
  /** Of tests. */
  | `test.${string}`;

const ofStates = {
  accelerator: acceleratorLifecycle,
  attachment: attachmentLifecycle,
  installation: installationLifecycle,
  operation: operationLifecycle,
} as const;

/** In the order of the alphabet. */
export const eventKinds: readonly string[] = [
  ...others,
  ...Object.entries(ofStates).flatMap(([noun, { rules }]) =>
    Object.keys(rules).map((state) => `${noun}.${state}`),
  ),
].toSorted();
