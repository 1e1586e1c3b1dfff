/** Limits of what is asked of Nova. Times in milliseconds or seconds, as named. */
export const novaLimits = {
  /** Shorter than a claim, so that nobody else sends the same at the same time. */
  sendMs: 8_000,
  eventsPerPass: 100,
  /** Between two attempts to tell Nova the same: from the first to the longest. */
  tellAgainFirstMs: 250,
  tellAgainMaxMs: 15_000,
  /** Nova forgets nobody for so long: what it refuses until then is dropped, with an event. */
  refusedAttemptsMax: 12,
  /** Of one attach: both look-ups together. */
  lookUpMs: 8_000,
  serversPerPass: 16,
  /** An instance that nothing is heard of is asked about so often, give or take a tenth. */
  lookEverySeconds: 3600,
  lookAgainFirstMs: 1_000,
  lookAgainMaxMs: 60_000,
  /** Between two readings of what has changed in Nova. */
  pollSeconds: 10,
  /** Each reading begins so long before the end of the last: clocks differ, and Nova commits late. */
  overlapSeconds: 60,
  /** The first reading, and one after a long outage, looks no further back: every instance is asked about anyway. */
  lookBackSecondsMax: 3600,
  changesPerPage: 500,
  changePagesMax: 20,
} as const;
