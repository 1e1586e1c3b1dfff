/** UUIDs as oslo's `is_uuid_like` takes them: braces, `urn:uuid:`, hyphens and case do not matter. */
import { V2Fault } from './fault.ts';

/** @returns the canonical form, or undefined for what is no UUID. */
export function toUuid(text: string): string | undefined {
  const bare = text
    .replaceAll('urn:', '')
    .replaceAll('uuid:', '')
    .replace(/^[{}]*/, '')
    .replace(/[{}]*$/, '')
    .replaceAll('-', '')
    .toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(bare)) return undefined;
  return bare.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** @throws V2Fault 400 naming the field, in upstream's words. */
export function parseUuid(text: string, field: string): string {
  const uuid = toUuid(text);
  if (uuid !== undefined) return uuid;
  throw new V2Fault(
    400,
    `Invalid input for field/attribute ${field}. Value: '${text}'. unable to convert to uuid. Error: Expected a uuid but received ${text}.`,
  );
}
