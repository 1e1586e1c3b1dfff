/** How each step of giving and taking a virtual function is seen from beside the agent, as bash in the lab's machine. */
import { actSteps, type orderSteps } from '../../apps/agent/src/steps.ts';
import { cards } from './attach.ts';

export const victimFunction = cards.nvmeVf;
const sysfs = `/sys/bus/pci/devices/${victimFunction}`;
const vfioLink = `/sys/bus/pci/drivers/vfio-pci/${victimFunction}`;
const state = '/lab/state/agent';

export type Act = 'attach' | 'detach';
type OrderKind = 'attach' | 'detach' | 'clean';
/** Bash that is true when the step is reached. */
type Mark = string;
type ActMarks = {
  readonly [A in keyof typeof actSteps]: Readonly<
    Record<(typeof actSteps)[A][number], Mark | null>
  >;
};
type Marks = {
  readonly [K in OrderKind]: Readonly<
    Record<(typeof orderSteps)[K][number], Mark | Partial<ActMarks>>
  >;
};

/** A virtual function comes without a kernel driver, and goes back to none. */
const noDriver = null;
const isNoted = `[[ $(<${state}/bindings.json) == *'"${victimFunction}"'* ]]`;
const isAccepted = `[[ $(<${state}/fence.log) != "$fence" ]]`;
const began = (kind: OrderKind, step: string): Mark => `says '*"kind":"${kind}","step":"${step}"*'`;
const act = (method: string, step: string): Mark =>
  `says '*"method":"${method}","step":"${step}","address":"${victimFunction}"*'`;

/** By what is left in the machine where something is, by what the agent says elsewhere. */
const marks: Marks = {
  attach: {
    accept: isAccepted,
    prepare: {
      bind: {
        note: isNoted,
        override: `[[ $(<${sysfs}/driver_override) == vfio-pci ]]`,
        unbind: noDriver,
        probe: `[[ -e ${vfioLink} ]]`,
      },
    },
    plug: 'is_open',
    report: began('attach', 'report'),
  },
  detach: {
    accept: isAccepted,
    unplug: '! is_open',
    release: began('detach', 'release'),
    report: began('detach', 'report'),
  },
  clean: {
    accept: began('clean', 'accept'),
    clean: {
      reset: { reset: act('reset', 'reset') },
      restore: {
        override: `[[ $(<${sysfs}/driver_override) != vfio-pci ]]`,
        unbind: `[[ ! -e ${vfioLink} ]]`,
        probe: noDriver,
        settle: `! ${isNoted}`,
      },
    },
    report: began('clean', 'report'),
  },
};

/** A detach ends when what it gave back is clean. */
export const steps: Readonly<Record<Act, ReadonlyMap<string, Mark>>> = {
  attach: new Map(marksOf('attach')),
  detach: new Map([...marksOf('detach'), ...marksOf('clean')]),
};

function marksOf(kind: OrderKind): [string, Mark][] {
  return Object.entries(marks[kind]).flatMap(([step, mark]) =>
    typeof mark === 'string' ? [[`${kind}: ${step}`, mark]] : marksWithin(kind, mark),
  );
}

function marksWithin(kind: OrderKind, acts: Partial<ActMarks>): [string, Mark][] {
  return Object.entries(acts).flatMap(([method, own]) =>
    Object.entries(own).flatMap(([step, mark]): [string, Mark][] =>
      mark === null ? [] : [[`${kind}: ${method}, ${step}`, mark]],
    ),
  );
}

/**
 * Bash that ends with `kill` as soon as the mark is there; fails after so many seconds without it. Says `watching` first.
 * @param guest  name of the guest
 */
export function watchLine(
  mark: Mark,
  { guest, kill, secondsMax }: { guest: string; kill: string; secondsMax: number },
): string {
  return [
    `exec 9<> <(:)`,
    `qemu=$(</tmp/nested-${guest}/pid)`,
    `group=/dev/vfio/$(basename "$(readlink ${sysfs}/iommu_group)")`,
    `is_open() { local f; for f in /proc/$qemu/fd/*; do [[ $f -ef $group ]] && return 0; done; return 1; }`,
    // The agent's log from now on, line by line; the end of one that is still being written is kept for the next look.
    `exec 8< /proc/$(</run/cyborg-agent.pid)/fd/2; cat <&8 > /dev/null; part=`,
    `says() { local line; while read -r line <&8; do line=$part$line part=; [[ $line == $1 ]] && return 0; done; part+=$line; return 1; }`,
    `touch ${state}/bindings.json; fence=$(<${state}/fence.log)`,
    'echo watching',
    `until ${mark}; do (( SECONDS < ${secondsMax} )) || { echo "the step was not seen" >&2; exit 9; }; read -r -t 0.01 -u 9; done`,
    kill,
  ].join('\n');
}
