import { createHash } from 'node:crypto';

/** Namespace of our simulated instances (a random UUID, fixed for ever: demo ids must not change). */
const namespace = Buffer.from('5a1c6a0e83c94b0f9d6e2f7b41c0d58e', 'hex');

/** UUID version 5 (RFC 9562) of `<host>/<instance>`: the same in every run and on every machine. */
export function simulatedInstanceId(hostName: string, instanceName: string): string {
  const hash = createHash('sha1').update(namespace).update(`${hostName}/${instanceName}`).digest();
  const bytes = hash.subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return [8, 13, 18, 23].reduce((text, at) => `${text.slice(0, at)}-${text.slice(at)}`, hex);
}
