/** What is asked of Placement at once, how often, and how long it may take. */
export const placementLimits = {
  /** Claims run longer than all attempts of a pass. */
  claimSeconds: 60,
  providersPerPass: 16,
  atOnceMax: 8,
  providerMs: 20_000,
  /** Reads and writes of one provider that others wrote meanwhile, within one attempt. */
  conflictsMax: 5,
  /** Between attempts for one provider. */
  retryFirstMs: 1_000,
  retryMaxMs: 30_000,
  /** Between attempts for all while Placement is away. */
  outageFirstMs: 500,
  outageMaxMs: 10_000,
  /** What others did to our providers is seen, and put right, within this time. */
  checkSeconds: 300,
  hostsCheckedPerPass: 32,
  /** Hosts compared with what was written, in one statement. */
  hostsPerLook: 256,
  /** Every host is compared so often, whatever events say. */
  lookSeconds: 600,
  /** More events than this since the last look: all hosts are compared. */
  eventsPerLookMax: 20_000,
  /** A freed accelerator's DELETE waits so long for Placement. */
  freeingMs: 2_000,
} as const satisfies Record<string, number>;

export type PlacementLimits = { readonly [Name in keyof typeof placementLimits]: number };
