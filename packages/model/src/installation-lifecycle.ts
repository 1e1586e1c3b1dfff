/** The life of an installation: one host's share of a deployment (DESIGN §5). */
import type { Machine } from './lifecycle.ts';

export type InstallationState =
  | 'pending'
  | 'fetching'
  | 'starting'
  | 'ready'
  | 'updating'
  | 'blocked'
  | 'failed'
  | 'removing'
  | 'removed';

export type InstallationEvent =
  | 'fetch'
  | 'start'
  | 'ready'
  | 'update'
  | 'block'
  | 'fail'
  | 'remove'
  | 'removed';

export const installationLifecycle: Machine<InstallationState, InstallationEvent> = {
  noun: 'an installation',
  rules: {
    pending: { settled: false, on: { fetch: 'fetching', block: 'blocked', remove: 'removing' } },
    blocked: { settled: true, on: { fetch: 'fetching', remove: 'removing' } },
    fetching: { settled: false, on: { start: 'starting', fail: 'failed', remove: 'removing' } },
    starting: {
      settled: false,
      on: { ready: 'ready', fail: 'failed', block: 'blocked', remove: 'removing' },
    },
    ready: { settled: true, on: { update: 'updating', remove: 'removing' } },
    updating: { settled: false, on: { ready: 'ready', fail: 'failed', remove: 'removing' } },
    failed: { settled: true, on: { fetch: 'fetching', remove: 'removing' } },
    removing: { settled: false, on: { removed: 'removed' } },
    // A removed installation may be wanted again.
    removed: { settled: true, on: { fetch: 'fetching' } },
  },
};
