/** The life of an operation: a long-running act with progress and an end. */
import type { Machine } from './lifecycle.ts';

export type OperationState =
  | 'queued'
  | 'running'
  | 'waiting'
  | 'succeeded'
  | 'failed'
  | 'cancelled';

export type OperationEvent = 'start' | 'wait-for-host' | 'succeed' | 'fail' | 'cancel';

export const operationLifecycle: Machine<OperationState, OperationEvent> = {
  noun: 'an operation',
  rules: {
    queued: {
      settled: false,
      on: {
        start: 'running',
        'wait-for-host': 'waiting',
        succeed: 'succeeded',
        fail: 'failed',
        cancel: 'cancelled',
      },
    },
    running: {
      settled: false,
      on: { 'wait-for-host': 'waiting', succeed: 'succeeded', fail: 'failed', cancel: 'cancelled' },
    },
    // A host it needs is down; shown as "waiting for host".
    waiting: {
      settled: false,
      on: { start: 'running', succeed: 'succeeded', fail: 'failed', cancel: 'cancelled' },
    },
    succeeded: { settled: true, on: {} },
    failed: { settled: true, on: {} },
    cancelled: { settled: true, on: {} },
  },
};

export const operationKinds = [
  'install-driver',
  'update-driver',
  'uninstall-driver',
  'discover-services',
  'restart-backend',
  'attach-instance',
  'detach-instance',
  'clean-accelerator',
  'program-accelerator',
] as const;
export type OperationKind = (typeof operationKinds)[number];
