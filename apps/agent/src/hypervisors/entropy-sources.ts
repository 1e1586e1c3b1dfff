import { HypervisorError } from './hypervisor.ts';

/** Files that may feed a guest: any other would show the host's data to it as random numbers. */
const entropySources: ReadonlySet<string> = new Set(['/dev/hwrng', '/dev/urandom', '/dev/random']);

/** @throws HypervisorError `unsupported-plan` */
export function checkEntropySource(source: string): void {
  if (entropySources.has(source)) return;
  const allowed = [...entropySources].join(', ');
  const message = `${source} may not feed a guest with random numbers: use one of ${allowed}.`;
  throw new HypervisorError('unsupported-plan', message);
}
