/** Every limit of the domain, with its unit in its name. The server's options may change those marked *. */
export const defaultLimits = {
  /** A claim on a work item; a conductor that dies is taken over after it. */
  claimSeconds: 10,
  workItemsPerPass: 64,
  /** Longest time between two looks of a waiting reader, and of a reconciler nobody woke. */
  recheckMs: 2000,
  /** Longest time between two passes of a reconciler whose work the re-check looks for. */
  idlePassMs: 60_000,
  leaseSeconds: 15,
  joinTokenSeconds: 3600,
  idempotencyHours: 24,
  idempotencyRetryAfterSeconds: 1,
  /** * Events, and attachments that ended, are kept for so long; 0 = for good. */
  eventRetentionSeconds: 400 * 86_400,
  /** * Operations that ended, instances that vanished and join tokens are kept for so long; 0 = for good. */
  operationRetentionSeconds: 90 * 86_400,
  /** * An attach or detach that its host has not finished fails after this. */
  attachDeadlineSeconds: 300,
  detachDeadlineSeconds: 900,
  /** For so long after a start nothing fails by the clock alone: hosts come back within 5 s, with what they did meanwhile. */
  hostsReturnSeconds: 15,
  /** What an instance lost and could not be given again at once is given after this, twice as long each time, … */
  giveAgainFirstSeconds: 30,
  /** … and at most this. */
  giveAgainMaxSeconds: 600,
  /** A cleaning that a host which is up has not ended after this has failed; its agent gives up earlier. */
  cleanDeadlineSeconds: 1800,
  /** * Operations of drivers and discoveries that a down host keeps waiting fail after this. */
  waitForHostSeconds: 3600,
  /** * A free device that has been absent this long is removed; 0 = never by itself. */
  absentGraceSeconds: 0,
  /** * A missing instance counts as vanished after two healthy looks at least this far apart. */
  vanishSeconds: 60,
  /** Promise 11: a pass releases at most the larger of one and this share of the attachments. */
  releaseShareMax: 0.05,
  /** * … and no more than that within this time. */
  releaseWindowSeconds: 600,
  /** A reservation that finds only locked rows waits this long once. */
  reserveLockWaitMs: 2000,
  /** A v2 bind that finds only accelerators that are being cleaned waits this long for one. */
  bindWaitSeconds: 30,
  /** * A v2 bind that must write a program image first is answered after this at the latest: BindStarted, then an event. */
  bindInlineSeconds: 50,
  /** A v2 call that programs a deployable waits this long for its end. */
  programInlineSeconds: 60,
  /** A program image that is not in its card within this has failed. */
  programDeadlineSeconds: 600,
  programImageBytesMax: 256 * 1024 * 1024,
  /** Of all images on their way to hosts. */
  stagedImagesBytesMax: 1024 * 1024 * 1024,
  /** An image that nobody has used for so long is forgotten. */
  stagedImageSeconds: 3600,
  stagingsAtOnceMax: 4,
  /** Between two tries to fetch an image: first, and at most. */
  stagingRetryFirstMs: 500,
  stagingRetryMaxMs: 15_000,
  /** What became of a programming is remembered for so long. */
  programmingKeptSeconds: 86_400,
  /** Accelerator requests that one v2 call may make or change. */
  arqsPerRequestMax: 256,
  /** Dispatch and the sequencer wait so long after a wake-up: many requests at once are one pass. */
  gatherMs: 5,
  nearestMissesMax: 8,
  /** Of one host, that an attach chooses from when it cannot take them one by one. */
  candidatesMax: 512,
  deadlockRetriesMax: 5,
} as const satisfies Record<string, number>;

export type ConductorLimits = { readonly [Name in keyof typeof defaultLimits]: number };
