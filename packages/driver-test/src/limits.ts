/** How patient the kit is. Shorter than the protocol's deadlines: no hardware is there to wait for. */
export const kitLimits = {
  /** An answer that takes longer is none. */
  callMsMax: 10_000,
  callMsMin: 500,
  initializeMsMax: 15_000,
  cancelMsMax: 5_000,
  /** An image that takes longer to write is for hardware, not for a kit. */
  updateMsMax: 30_000,
  imageBytes: 1024 * 1024,
  endMsMax: 5_000,
  /** How long a process that is not looked at any more may take to end. */
  farewellMs: 300,
  /** Until what was written to stderr before an answer has come, too. */
  lastWordsMs: 50,
  lastWordsCharsMax: 1_200,
  /** The whole run; what is left then is reported as not run. */
  runMsMax: 110_000,
  /** Accelerators that take part in the trials of prepare, release and clean. */
  targetsMax: 4,
  historyRuns: 8,
  historyStepsMax: 16,
  historyMsMax: 15_000,
  rounds: 40,
  /** Bytes of what is not protocol, or of stderr, that a recording keeps of each piece. */
  pieceBytesMax: 4_096,
  /** Of what a report says about a clause. */
  detailCharsMax: 2_000,
} as const;
