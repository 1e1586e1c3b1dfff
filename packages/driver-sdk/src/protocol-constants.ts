/**
 * What drivers need of the protocol at run time. Kept apart from protocol.ts because importing TypeBox costs a driver
 * process 20 MB and 160 ms; the schemas that a driver checks against come from protocol.schema.json, made from it.
 */
export const protocolVersion = '1';

/**
 * Error codes of the protocol (JSON-RPC's own below -32000 apart).
 * `gone`: not retried. `transient`: retried with backoff. `invalid`: a configuration or parameter is wrong, not retried.
 * `unsupported`: this accelerator or driver cannot do it. `host-use`: the host uses the function; refused.
 */
export const driverErrorCodes = {
  gone: 4001,
  transient: 4002,
  invalid: 4003,
  unsupported: 4004,
  'host-use': 4005,
} as const;
export type DriverErrorCode = keyof typeof driverErrorCodes;

/** The `reason` of an accelerator that lacks nothing but an operator's word. */
export const notApproved = 'not approved';

/** Limits that both sides keep. */
export const protocolLimits = {
  frameBytesMax: 8 * 1024 * 1024,
  stderrBytesPerSecondMax: 64 * 1024,
  notificationsPerSecondMax: 200,
  logMessageCharactersMax: 4096,
  openNodesMax: 16_384,
  serialNumbersMax: 4096,
  groupMembersMax: 256,
  /** A driver takes a request of its own for unanswered after this. The agent's own deadlines are shorter. */
  agentAnswerMsMax: 45_000,
} as const;

/** A PCI function, as Linux names it. */
export const addressPattern = '^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\\.[0-7]$';

/** What `openNodes` can be asked for, in at most 255 characters. No part of a path begins with a dot. */
export const nodePattern =
  '^((/dev(/[A-Za-z0-9_:+@,=#~%-][A-Za-z0-9_.:+@,=#~%-]*)+)|([bc][0-9]{1,4}:[0-9]{1,8})|([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\\.[0-7]))$';
