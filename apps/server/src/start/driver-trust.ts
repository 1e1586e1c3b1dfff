import { PackageError } from '@cyborg/driver-package/package-error';
import { readTrust } from '@cyborg/driver-package/read-trust';
import type { DriverTrust } from '@cyborg/driver-package/signature';
import { OptionError } from '@cyborg/service/option-error';

import type { ServerOptions } from '../options.ts';

/** @throws {OptionError} naming the file. */
export function readDriverTrust(
  options: Pick<ServerOptions, 'driverKey' | 'driverSignatures'>,
): DriverTrust {
  try {
    return readTrust(options);
  } catch (error) {
    throw error instanceof PackageError ? new OptionError(error.message) : error;
  }
}
