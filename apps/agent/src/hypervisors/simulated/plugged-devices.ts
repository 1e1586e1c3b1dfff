/** What is plugged into simulated instances, as their folders say; read again only where they changed. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { deviceNamePrefix } from '../device-name.ts';
import type { PluggedDevice } from '../hypervisor.ts';
import { hasCode } from '../node-error.ts';
import { readDeviceAddress, simulatedLimits, type SimulatedPaths } from './files.ts';

/** A folder's content; whole while its modification time stays, when that was not fresh as it was read. */
interface Listed {
  readonly modifiedNs: bigint;
  readonly isSettled: boolean;
  /** By name: a device's file appears whole and never changes. */
  readonly devices: ReadonlyMap<string, PluggedDevice>;
}

/** Two changes within one tick of the file system's clock have one modification time. */
const clockTickNs = 20_000_000n;

export class PluggedDevices {
  readonly #paths: SimulatedPaths;
  readonly #byInstance = new Map<string, Listed>();

  constructor(paths: SimulatedPaths) {
    this.#paths = paths;
  }

  async of(id: string): Promise<readonly PluggedDevice[]> {
    const folder = join(this.#paths.devices, id);
    const modifiedNs = await modifiedNsOf(folder);
    if (modifiedNs === null) {
      this.#byInstance.delete(id);
      return [];
    }
    const before = this.#byInstance.get(id);
    if (before?.isSettled === true && before.modifiedNs === modifiedNs)
      return [...before.devices.values()];
    // The file system's time is the machine's, whatever clock the agent was given.
    const readAtNs = BigInt(Date.now()) * 1_000_000n;
    const devices = await readDevices(folder, before?.devices);
    const isSettled = readAtNs - modifiedNs > clockTickNs;
    this.#byInstance.set(id, { modifiedNs, isSettled, devices });
    return [...devices.values()];
  }
}

async function readDevices(
  folder: string,
  before: ReadonlyMap<string, PluggedDevice> | undefined,
): Promise<Map<string, PluggedDevice>> {
  const names = (await readdir(folder))
    .filter((name) => name.startsWith(deviceNamePrefix))
    .slice(0, simulatedLimits.devicesPerInstanceMax);
  const devices = new Map<string, PluggedDevice>();
  for (const name of names) {
    devices.set(name, before?.get(name) ?? (await readDevice(join(folder, name), name)));
  }
  return devices;
}

async function readDevice(file: string, name: string): Promise<PluggedDevice> {
  const address = await readDeviceAddress(file);
  return address === undefined ? { name } : { name, address };
}

/** @returns null when there is nothing. */
export async function modifiedNsOf(path: string): Promise<bigint | null> {
  try {
    return (await stat(path, { bigint: true })).mtimeNs;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null;
    throw error;
  }
}
