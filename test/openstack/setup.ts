/** vitest's global set-up of the project `openstack`: brings the lab up, with this checkout's server and agent in it. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Why the lab does not run here; null when it does. */
    openStackMissing: string | null;
  }
}

const run = promisify(execFile);
const folder = join(import.meta.dirname, '../../labs/openstack');
const upMinutes = 20;
const outputBytesMax = 16 * 1024 * 1024;

/** The lab stays up: the next run takes 15 s. `labs/openstack/down` ends it. */
export async function setup({ provide }: TestProject): Promise<void> {
  const problem = whyNot();
  if (problem === undefined) {
    await bringUp('up');
    await bringUp('run-cyborg');
  } else if (process.env['CI'] === 'true' && process.env['CYBORG_TEST_OPENSTACK'] === 'required') {
    throw new Error(`The tests need the OpenStack lab, and it does not run here: ${problem}`);
  }
  provide('openStackMissing', problem ?? null);
}

function whyNot(): string | undefined {
  if (process.platform !== 'linux' || !existsSync('/etc/debian_version')) {
    return 'the OpenStack lab is made of Debian 12’s packages';
  }
  if (process.getuid?.() !== 0) return 'the OpenStack lab runs as root (labs/openstack/README.md)';
  if (!existsSync('/usr/bin/apt-get')) return 'there is no apt-get to install OpenStack with';
  return undefined;
}

/** @throws with the end of what it said. */
async function bringUp(script: string): Promise<void> {
  try {
    await run(join(folder, script), [], {
      timeout: upMinutes * 60_000,
      maxBuffer: outputBytesMax,
    });
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error);
    throw new Error(`labs/openstack/${script} failed: ${said.trim().slice(-2000)}`, {
      cause: error,
    });
  }
}
