/** What keeps drivers from doing harm on this machine, and what it cannot keep them from: for operators. */
import { streamLimits } from './limits.ts';
import type { Wall } from './wall.ts';

export interface Containment {
  readonly enforced: readonly string[];
  readonly missing: readonly string[];
}

interface Part {
  readonly holds: boolean;
  readonly enforced: string;
  readonly missing: string;
}

export function containmentOf(wall: Wall): Containment {
  const parts = partsOf(wall);
  return {
    enforced: [
      ...parts.filter(({ holds }) => holds).map(({ enforced }) => enforced),
      `at most ${streamLimits.openFilesMax} open files`,
      `memory (Node: ${streamLimits.heapMiBMax} MiB heap; others: ${streamLimits.programDataMiBMax} MiB)`,
      'clean environment',
      'deadlines',
    ],
    missing: [
      ...parts.filter(({ holds }) => !holds).map(({ missing }) => missing),
      'CPU time is not limited (drivers run at lower priority)',
    ],
  };
}

function partsOf({ kind, namespace, canMount, user }: Wall): Part[] {
  const isRoot = kind === 'root';
  return [
    {
      holds: isRoot,
      enforced: 'a user of their own',
      missing:
        "drivers run as the agent's own user: they can read its credential and each other's folders (run the agent as root)",
    },
    {
      holds: namespace.includes('-n'),
      enforced: 'no network unless granted',
      missing: 'drivers keep their network: the kernel allows the agent no network namespaces',
    },
    {
      holds: isRoot && canMount,
      enforced: 'closed folders shown one by one',
      missing: isRoot
        ? 'no private mounts: what drivers need must be readable for others'
        : 'no private mounts: drivers see every file that their user sees',
    },
    {
      holds: user.includes('--no-new-privs'),
      enforced: 'no new privileges',
      missing:
        'drivers may gain privileges and outlive a killed agent: setpriv (util-linux) is missing',
    },
    {
      holds: isRoot,
      enforced: `at most ${streamLimits.userThreadsMax} threads of all drivers`,
      missing: 'the number of processes is not limited',
    },
  ];
}

/** As facts of a host. */
export function containmentFacts(wall: Wall): Record<string, string> {
  const { enforced, missing } = containmentOf(wall);
  return {
    driver_containment: enforced.join('; '),
    driver_containment_missing: missing.join('; '),
  };
}
