/** Writes protocol.schema.json: the protocol's JSON Schemas for drivers in any language, and for our own at run time. */
import { writeFileSync } from 'node:fs';
import {
  agentRequests,
  driverErrorCodes,
  driverNotifications,
  driverRequests,
  protocolLimits,
  protocolVersion,
} from './protocol.ts';

export const schemaFile = new URL('../protocol.schema.json', import.meta.url);

/** The content of protocol.schema.json as it follows from protocol.ts. */
export function protocolSchemaDocument(): Record<string, unknown> {
  return {
    title: 'Cyborg driver protocol',
    protocol_version: protocolVersion,
    limits: protocolLimits,
    error_codes: driverErrorCodes,
    driver_requests: driverRequests,
    agent_requests: agentRequests,
    driver_notifications: driverNotifications,
  };
}

if (import.meta.main) {
  writeFileSync(schemaFile, `${JSON.stringify(protocolSchemaDocument(), null, 2)}\n`);
}
