/** The version of the driver protocol that agents of this release speak (a test compares it with the SDK's). */
export const protocolOfAgents = 1;
