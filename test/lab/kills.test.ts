/** kill -9 at every step of attach and detach of a real function: it ends attached or available, never between, never twice. */
import { once } from 'node:events';

import { eventually } from '@cyborg/testing/processes';
import { afterAll, beforeAll, describe, inject, it } from 'vitest';

import { cards, untilAvailable } from './attach.ts';
import { LabGuest } from './guests.ts';
import { openSite, untilHolds } from './holding.ts';
import { Lab, needsLab, patientMs } from './lab.ts';
import type { Site } from './site.ts';

needsLab();

const address = cards.nvmeVf;
const sysfs = `/sys/bus/pci/devices/${address}`;
const vfioLink = `/sys/bus/pci/drivers/vfio-pci/${address}`;
const state = '/lab/state/agent';

/** Whether QEMU has the function's group open. */
const isOpen = `is_open() { local f; for f in /proc/$qemu/fd/*; do [[ $f -ef $group ]] && return 0; done; return 1; }`;
const isNoted = `[[ $(<${state}/bindings.json) == *'"${address}"'* ]]`;

/**
 * What each step leaves where it can be seen, in the order of apps/agent/src/attachments/acts.ts (the fence, prepare, plug;
 * unplug, release, clean) and apps/agent/src/privileged/child/bind.ts (note, override, bind; override, unbind, note).
 */
const steps = {
  attach: {
    'the order is accepted': `[[ $(<${state}/fence.log) != "$fence" ]]`,
    'what is there is noted': isNoted,
    'the override is written': `[[ $(<${sysfs}/driver_override) == vfio-pci ]]`,
    'it is bound to vfio-pci': `[[ -e ${vfioLink} ]]`,
    'QEMU opens it': 'is_open',
    'the guest sees it': `[[ $(<"$console") == *NESTED-ADD*0x1b36:0x0010* ]]`,
  },
  detach: {
    'the order is accepted': `[[ $(<${state}/fence.log) != "$fence" ]]`,
    'the guest has let go': '! is_open',
    'the override is taken back': `[[ $(<${sysfs}/driver_override) != vfio-pci ]]`,
    'it is unbound': `[[ ! -e ${vfioLink} ]]`,
    'the note is settled': `! ${isNoted}`,
  },
} as const;
type Act = keyof typeof steps;

const victims = {
  agent: 'kill -KILL $(</run/cyborg-agent.pid)',
  driver: "kill -KILL $(pgrep -f '/drivers/generic/src/main[.]js')",
  /** Outside: killed when the line ends. */
  server: 'true',
} as const;
type Victim = keyof typeof victims;

const all = (act: Act): string[] => Object.keys(steps[act]);
/** Whoever is not the agent does little at each step; and a driver that dies often is kept down. */
const rounds: readonly (readonly [Victim, Act, string])[] = [
  ...pairs('agent', all('attach'), all('detach')),
  ...pairs(
    'server',
    ['the order is accepted', 'QEMU opens it'],
    ['the order is accepted', 'it is unbound'],
  ),
  ...pairs(
    'driver',
    ['the order is accepted', 'it is bound to vfio-pci'],
    ['the guest has let go', 'the override is taken back'],
  ),
];

interface Watch {
  /** The step was seen, and its victim killed. */
  readonly ended: Promise<unknown>;
}

/** An attach, a detach, and so on. */
function pairs(
  victim: Victim,
  attach: readonly string[],
  detach: readonly string[],
): (readonly [Victim, Act, string])[] {
  return attach.flatMap((step, at) => {
    const other = detach[at % detach.length] ?? '';
    return [
      [victim, 'attach', step],
      [victim, 'detach', other],
    ] as const;
  });
}

describe('kill -9 at each step of giving and taking a virtual function', () => {
  let lab: Lab;
  let site: Site;
  let guest: LabGuest;

  beforeAll(async () => {
    if (inject('labMissing') !== null) return;
    lab = Lab.current();
    site = await openSite(lab);
    guest = await LabGuest.qemu(lab, 'holder');
    await site.untilInstance(guest.uuid);
    await untilAvailable(site, address);
  });
  afterAll(async () => {
    await guest?.stop();
    await site?.[Symbol.asyncDispose]();
    await lab?.tryRun(`echo 0 > /sys/bus/pci/devices/${cards.nvmePf}/sriov_numvfs`);
  });

  /** Kills as soon as the step's mark is there; resolves when the watch has begun. */
  async function watchFor(act: Act, step: string, victim: Victim): Promise<Watch> {
    const mark = Object.entries(steps[act]).find(([name]) => name === step)?.[1] ?? 'false';
    const watch = lab.start(
      [
        `exec 9<> <(:)`,
        `console=/lab/x/out/${guest.name}.console qemu=$(</tmp/nested-${guest.name}/pid)`,
        `group=/dev/vfio/$(basename "$(readlink ${sysfs}/iommu_group)")`,
        isOpen,
        `touch ${state}/bindings.json; fence=$(<${state}/fence.log)`,
        'echo watching',
        `until ${mark}; do read -r -t 0.01 -u 9; done`,
        victims[victim],
      ].join('\n'),
    );
    const ended = once(watch, 'exit');
    if (watch.stdout !== null) await Promise.race([once(watch.stdout, 'data'), ended]);
    return { ended };
  }

  async function request(act: Act): Promise<object> {
    const params = { instance_id: guest.uuid };
    if (act === 'detach') return await site.v3.deleteAttachments({ params });
    const { id } = await untilAvailable(site, address);
    // A driver that was killed more than once is started later each time.
    await site.untilBackendsAre('ready');
    return await site.v3.createAttachments({ params, body: { accelerator: id } });
  }

  async function startAgain(victim: Victim): Promise<void> {
    if (victim === 'agent') {
      const ended = (): boolean => site.agentHasEnded;
      await eventually(ended, { timeoutMs: patientMs, what: 'the agent is dead' });
      site.startAgent();
    } else if (victim === 'server') {
      await site.stopServer('SIGKILL');
      await site.startServer();
    }
  }

  /** Ends the act, whatever became of it. @returns how the operation ended. */
  async function settle(asked: object): Promise<string> {
    const { state: end, kind } = await site.ended(asked);
    const isHeld = (kind === 'attach-instance') === (end === 'succeeded');
    await untilHolds(site, guest, isHeld ? [address] : []);
    return end;
  }

  it.for(rounds)('of the %s during %s, when %s', async ([victim, act, step], { expect }) => {
    if (act === 'detach' && (await site.at(address)).state === 'available') {
      expect(await settle(await request('attach'))).toBe('succeeded');
    }
    // What the guest said before is not of this act. (Of what it holds, its console is the record.)
    if (act === 'attach') await lab.run(`: > /lab/x/out/${guest.name}.console`);
    const watch = await watchFor(act, step, victim);
    const asked = await request(act);
    await watch.ended;
    await startAgain(victim);
    expect(await settle(asked)).toMatch(act === 'detach' ? 'succeeded' : /^(succeeded|failed)$/);
  });
});
