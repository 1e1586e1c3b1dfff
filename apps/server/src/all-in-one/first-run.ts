/** What a new installation gets once: later an operator's changes stay as they are. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { V3Body } from '@cyborg/api-spec/v3';
import { listServedHosts } from '@cyborg/conductor/deployments/served-hosts';
import Type, { type Static } from 'typebox';
import { Check } from 'typebox/value';

import { writePrivateFile } from '../auth/write-users-file.ts';
import { starter } from './hosts.ts';
import type { LocalHost, Server } from './hosts.ts';

type Backend = NonNullable<NonNullable<V3Body<'installDriver'>>['backends']>[number];

const driverId = 'generic';
const DoneSchema = Type.Object({ installed: Type.Array(Type.String()) });

export interface FirstInstall {
  /** Remembered under this name. */
  readonly name: string;
  readonly backends: readonly Backend[];
}

export function ownBackends({ name }: LocalHost): FirstInstall {
  return {
    name: 'own',
    backends: [
      { name: 'pci', kind: 'pci', hosts: [name] },
      { name: 'virtual', kind: 'virtual', hosts: [name] },
    ],
  };
}

/** The recorded machine has emulated NVMe and test cards, which no class of the default list covers. */
const demoRules = [
  { vendor: '1b36', device: '0010', type: 'SSD' },
  { vendor: '1234', device: '11e8', type: 'OTHER' },
];

export function demoBackends(hosts: readonly LocalHost[]): FirstInstall {
  const names = hosts.map(({ name }) => name);
  return {
    name: 'demo',
    backends: [
      { name: 'demo-pci', kind: 'pci', hosts: names, config: { offer: 'all', rules: demoRules } },
      { name: 'demo-virtual', kind: 'virtual', hosts: names },
    ],
  };
}

/**
 * Installs what was not installed in an earlier start, on hosts that the driver does not serve already: somebody may have
 * installed it everywhere before the first start with --demo. The hosts must have enrolled.
 */
export async function installOnce(
  { deps, v3 }: { readonly deps: Pick<Server['deps'], 'db'> } & Pick<Server, 'v3'>,
  stateDir: string,
  installs: readonly FirstInstall[],
): Promise<void> {
  const path = join(stateDir, 'first-run.json');
  const done = readDone(path);
  for (const { name, backends } of installs) {
    if (done.installed.includes(name)) continue;
    // After a crash before the note they are served, too.
    const wanted = without(backends, await listServedHosts(deps.db, driverId));
    if (wanted.length > 0) {
      await v3.installDriver(starter, {
        params: { driver_id: driverId },
        query: {},
        body: { backends: wanted },
      });
    }
    done.installed.push(name);
    await writePrivateFile(path, `${JSON.stringify(done)}\n`);
  }
}

function without(backends: readonly Backend[], served: readonly string[]): Backend[] {
  return backends.flatMap((backend) => {
    const hosts = (backend.hosts ?? []).filter((host) => !served.includes(host));
    return hosts.length === 0 ? [] : [{ ...backend, hosts }];
  });
}

function readDone(path: string): Static<typeof DoneSchema> {
  if (!existsSync(path)) return { installed: [] };
  const content: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (Check(DoneSchema, content)) return content;
  throw new Error(
    `Cannot read ${path}: it must hold {"installed": [...]}; remove it to begin anew.`,
  );
}
