/** The certificate and key to serve HTTPS with, read and tried before anything else is begun. */
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';

import { OptionError } from '@cyborg/service/option-error';

import type { ServerOptions } from './options.ts';

export interface TlsPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/**
 * @returns undefined when no TLS was asked for.
 * @throws {OptionError} naming the option whose file cannot be read or used.
 */
export function readTlsPair({
  tlsCert,
  tlsKey,
}: Pick<ServerOptions, 'tlsCert' | 'tlsKey'>): TlsPair | undefined {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const cert = read('--tls-cert', tlsCert);
  const key = read('--tls-key', tlsKey);
  tryOut({ cert }, `--tls-cert: ${tlsCert} is no certificate chain in PEM`);
  tryOut({ key }, `--tls-key: ${tlsKey} is no private key in PEM without a passphrase`);
  tryOut({ cert, key }, `--tls-key: ${tlsKey} is not the key of the certificate in ${tlsCert}`);
  return { cert, key };
}

function read(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new OptionError(`${option}: ${path} cannot be read: ${messageOf(error)}.`, {
      cause: error,
    });
  }
}

function tryOut(pair: Partial<TlsPair>, refusal: string): void {
  try {
    createSecureContext(pair);
  } catch (error) {
    throw new OptionError(`${refusal} (${messageOf(error)}).`, { cause: error });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
