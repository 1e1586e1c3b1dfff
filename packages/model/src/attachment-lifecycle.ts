/** The life of an attachment: one accelerator given, or being given, to one instance (DESIGN §5). */
import type { Machine } from './lifecycle.ts';

export type AttachmentState =
  | 'requested'
  | 'reserved'
  | 'attaching'
  | 'attached'
  | 'failed'
  | 'detaching'
  | 'released';

export type AttachmentEvent =
  | 'reserve'
  | 'dispatch'
  | 'plugged'
  | 'fail'
  | 'lost'
  | 'returned'
  | 'detach'
  | 'released'
  | 'unbound'
  | 'cancel'
  | 'force-release'
  | 'adopt';

export const attachmentLifecycle: Machine<AttachmentState, AttachmentEvent> = {
  noun: 'an attachment',
  rules: {
    requested: { settled: true, on: { reserve: 'reserved', cancel: 'released' } },
    reserved: {
      settled: false,
      on: { dispatch: 'attaching', detach: 'detaching', cancel: 'released' },
    },
    attaching: { settled: false, on: { plugged: 'attached', detach: 'detaching', fail: 'failed' } },
    attached: { settled: true, on: { lost: 'attaching', detach: 'detaching' } },
    // The guest lost it. `returned`: its card is there again, or it is tried again.
    failed: { settled: true, on: { returned: 'attaching', detach: 'detaching' } },
    detaching: {
      settled: false,
      on: { released: 'released', unbound: 'requested', 'force-release': 'released' },
    },
    // An operator found it in a guest after the ledger had let go of it.
    released: { settled: true, on: { adopt: 'attached' } },
  },
};

/** States in which the attachment holds its accelerator: at most one per accelerator (promise 1). */
export const liveAttachmentStates = [
  'reserved',
  'attaching',
  'attached',
  'failed',
  'detaching',
] as const satisfies readonly AttachmentState[];

export type AttachmentOrigin = 'nova' | 'cyborg';
export type PluggedBy = 'nova' | 'agent' | 'none';
export type ObservedPlug = 'plugged' | 'missing' | 'unknown';
