/** The resource provider of a deployable: who names it can compute its UUID. */
import { createHash } from 'node:crypto';

import { handleTypeOf } from './arq.ts';

/** RFC 4122's namespace for DNS names. */
const dnsNamespace = Buffer.from('6ba7b8109dad11d180b400c04fd430c8', 'hex');

/** uuid3(NAMESPACE_DNS, name), as Python's uuid module computes it. */
export function uuid3(name: string): string {
  const bytes = createHash('md5').update(dnsNamespace).update(name, 'utf8').digest();
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x30, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

interface ReportedPart {
  readonly name: string;
  readonly accelerators: readonly { readonly plans: readonly string[] }[];
}

/** @returns null for what only our agent plugs: it has no provider that v2 could bind. */
export function providerOf({ name, accelerators }: ReportedPart): string | null {
  const binds = accelerators.some(({ plans }) => handleTypeOf(plans) !== undefined);
  return binds ? uuid3(name) : null;
}
