/** Every limit of the agent, with its unit. Those that an operator may want to turn are options (options.ts). */
export const agentDefaults = {
  /** The agent's own lease ends this much before the server's. */
  leaseMarginMs: 1_000,
  renewalsPerLease: 3,
  /** How often to ask while another agent holds the lease of this host. */
  leaseTakenRetryMs: 2_000,
  serverRetryFirstMs: 250,
  /** What waits for a host is done within 5 s of the server's return: nobody may sleep longer than a part of that. */
  serverRetryMaxMs: 3_000,
  requestTimeoutMs: 20_000,
  longPollSeconds: 25,
  /** Outcomes that arrive within this time travel in one report. */
  reportDelayMs: 10,
  /** Pause after an answer with orders, so that the next one carries several. */
  desiredPauseMs: 5,
  ordersInFlightMax: 32,
  orderRetryFirstMs: 200,
  orderRetryMaxMs: 10_000,
  /** A `retrying` or `held` outcome is reported at most this often. */
  retryingReportMs: 3_000,
  /** How far an update is, is reported at most this often. */
  progressReportMs: 1_000,
  /** A program image that stops coming for so long is fetched again. */
  imageIdleMs: 30_000,
  /** Driver packages that are kept although no driver of them was started since the agent was. */
  packagesKeptMax: 8,
  heldRefreshMs: 300_000,
  /** A look at the cards waits so long for what the ledger says is taken. */
  takenWaitMsMax: 5_000,
  /** A version that is quarantined within this of its update is left for the one before. */
  probationMs: 600_000,
  hostNeeds: { lookMsMax: 20_000, commandMsMax: 30_000 },
  /** A first look at the hypervisor must come within this of a start before orders are taken. */
  hypervisorTimeoutMs: 30_000,
  /** The first word to the server waits so long for the first look. */
  firstLookMsMax: 2_000,
  listingGapMsMin: 500,
  /** New lines of a driver are reported at most this often, unless it dies. */
  driverLogReportMs: 30_000,
  listingReportMs: 30_000,
  /** An instance has vanished when it is missing for a minute: looks are reported again right then, to the last of these. */
  vanishedReportsMs: { first: 61_000, last: 72_000 },
  /** Knowledge of the hypervisor older than this is read again before a clean. */
  listingAgeMsMax: 10_000,
  inventoryBatchMs: 100,
  inventoryChangedGapMs: 500,
  privilegedActTimeoutMs: 40_000,
  /** Uevents of PCI functions: a look follows when none came for this long, at the latest after `settleMsMax`. */
  hardwareEvents: {
    settleMs: 150,
    driverSettleMs: 1_000,
    settleMsMax: 1_000,
    againFirstMs: 1_000,
    againMsMax: 60_000,
    /** What listened for so long before it ended was well. */
    heldMs: 60_000,
    lineCharactersMax: 4_096,
  },
} as const;
