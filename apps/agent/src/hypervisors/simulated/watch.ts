import { readdirSync, watch, type FSWatcher } from 'node:fs';
import { join } from 'node:path';
import { isInstanceId } from '../device-name.ts';
import type { SimulatedPaths } from './files.ts';
import { simulatedLimits } from './files.ts';

/** Calls back at every change of instances, devices and faults, made by this process or another. A hint only. */
export function watchFolders(paths: SimulatedPaths, onChange: () => void): Disposable {
  const watchers = new Map<string, FSWatcher>();

  const drop = (folder: string): void => {
    watchers.get(folder)?.close();
    watchers.delete(folder);
  };
  const add = (folder: string, onEvent: () => void): void => {
    if (watchers.has(folder)) return;
    try {
      const watcher = watch(folder, { persistent: false }, onEvent);
      watcher.on('error', () => drop(folder));
      watchers.set(folder, watcher);
    } catch {
      // Gone again, or out of inotify watches: the caller's periodic listing finds what the hint would have told.
    }
  };
  const addDevices = (): void => {
    const found = new Set(namesIn(paths.devices).filter(isInstanceId));
    for (const id of [...found].slice(0, simulatedLimits.instancesMax)) {
      add(join(paths.devices, id), onChange);
    }
    for (const folder of watchers.keys()) {
      const id = folder.slice(paths.devices.length + 1);
      if (folder.startsWith(`${paths.devices}/`) && !found.has(id)) drop(folder);
    }
  };

  add(paths.instances, onChange);
  add(paths.faults, onChange);
  add(paths.devices, () => {
    addDevices();
    onChange();
  });
  addDevices();
  return {
    [Symbol.dispose]: () => {
      for (const folder of watchers.keys()) drop(folder);
    },
  };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
