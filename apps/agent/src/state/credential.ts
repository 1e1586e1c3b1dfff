/** The agent's credential: kept apart from everything that may be thrown away, readable by its owner alone. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import Type, { type Static } from 'typebox';
import { readChecked, writeDurably } from './durable-file.ts';

const CredentialSchema = Type.Object({
  credential: Type.String({ minLength: 1 }),
  host_id: Type.String(),
  host_name: Type.String(),
  /** Of the join token that was used up for it, so that a new token is noticed. */
  token_sha256: Type.String(),
});
export type Credential = Static<typeof CredentialSchema>;

const fileOf = (stateDir: string): string => join(stateDir, 'credential.json');

export async function readCredential(stateDir: string): Promise<Credential | undefined> {
  return await readChecked(fileOf(stateDir), CredentialSchema);
}

export async function writeCredential(stateDir: string, credential: Credential): Promise<void> {
  await writeDurably(fileOf(stateDir), credential, 0o600);
}

export function tokenHash(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
