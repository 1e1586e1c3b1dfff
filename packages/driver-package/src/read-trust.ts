import { readFileSync } from 'node:fs';

import { PackageError } from './package-error.ts';
import { parsePublicKeys, type DriverTrust, type SignaturePolicy } from './signature.ts';

/** The options of server and agent of these names. @throws PackageError naming the file that has no key. */
export function readTrust(given: {
  readonly driverSignatures: SignaturePolicy;
  readonly driverKey: readonly string[];
}): DriverTrust {
  const keys = given.driverKey.flatMap((file) => {
    try {
      return parsePublicKeys(readFileSync(file, 'utf8'));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new PackageError(`--driver-key ${file}: ${why}`);
    }
  });
  return { policy: given.driverSignatures, keys };
}
