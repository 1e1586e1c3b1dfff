import { HypervisorError } from './hypervisor.ts';

/** What is ours in a hypervisor starts with this; Nova's own aliases are `ua-<other>`. */
export const deviceNamePrefix = 'ua-cyborg-';

const deviceNamePattern = /^ua-cyborg-[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** @throws HypervisorError `refused`: names become file names and QEMU ids, so nothing else may pass. */
export function checkDeviceName(name: string): void {
  if (deviceNamePattern.test(name)) return;
  throw new HypervisorError(
    'refused',
    `Device name ${JSON.stringify(name)} is not ua-cyborg-<attachment>-<epoch>.`,
  );
}

export function isInstanceId(text: string): boolean {
  return uuidPattern.test(text);
}
