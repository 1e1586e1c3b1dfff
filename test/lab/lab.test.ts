/** The lab itself: what README.md promises to those who write tests and drivers in it. */
import { once } from 'node:events';

import { beforeAll, describe, inject, it } from 'vitest';

import { Lab, needsLab } from './lab.ts';

needsLab();

const pf = '/sys/bus/pci/devices/0000:21:00.0';

describe('the lab', () => {
  let lab: Lab;
  beforeAll(() => {
    if (inject('labMissing') === null) lab = Lab.current();
  });

  it('runs commands as root and passes on output and exit status', async ({ expect }) => {
    const answer = await lab.tryRun('id -u; echo problem >&2; exit 7');
    expect(answer).toEqual({ status: 7, stdout: '0\n', stderr: 'problem\n' });
  });

  it('ends a command that takes too long with 124', async ({ expect }) => {
    const { status } = await lab.try('run', ['--timeout', '2', '--', 'sleep', '3000']);
    expect(status).toBe(124);
  });

  it('has virtual functions, NUMA nodes and an IOMMU group of three', async ({ expect }) => {
    await lab.run(`echo 2 > ${pf}/sriov_numvfs`);
    const groups = `ls /sys/bus/pci/devices/0000:44:01.0/iommu_group/devices`;
    expect((await lab.run(`cat ${pf}/numa_node; ls -d ${pf}/virtfn* | wc -l`)).split('\n')).toEqual(
      ['0', '2', ''],
    );
    expect((await lab.run(groups)).trim().split('\n')).toEqual([
      '0000:43:00.0',
      '0000:44:01.0',
      '0000:44:02.0',
    ]);
    await lab.run(`echo 0 > ${pf}/sriov_numvfs`);
  });

  it('takes a card in and gives it back', async ({ expect }) => {
    const there = '[[ -e /sys/bus/pci/devices/0000:46:00.0 ]]';
    await lab.plug('nvme', 'hp1', { serial: 'CARD7' });
    await lab.run(`until ${there}; do sleep 0.1; done`);
    const serial = 'cat /sys/bus/pci/devices/0000:46:00.0/nvme/nvme*/serial';
    expect(await lab.run(`until ${serial} 2> /dev/null; do sleep 0.1; done`)).toContain('CARD7');
    await lab.unplug('hp1-card');
    await lab.run(`while ${there}; do sleep 0.1; done`);
  });

  it.for([
    ['told to', false],
    ['pulled the plug', true],
  ] as const)(
    'reboots when %s: /lab/state stays, everything else is as new',
    async ([, hard], { expect }) => {
      await lab.run('echo kept > /lab/state/kept; sync /lab/state/kept; echo lost > /tmp/lost');
      // As the agent writes: a new file takes the place of the old one.
      const turn = 'echo $((turns += 1)) > new; sync new; mv new turn';
      const writing = lab.start(`cd /lab/state; while true; do ${turn}; done`);
      await lab.run('until [[ -e /lab/state/turn ]]; do sleep 0.1; done');
      await Promise.all([once(writing, 'exit'), lab.reboot({ hard })]);
      expect(await lab.run('cat /lab/state/turn; rm -f /lab/state/{turn,new}')).toMatch(/^\d+\n$/);
      expect((await lab.tryRun('dmesg | grep "EXT4-fs error"')).stdout).toBe('');
      expect(await lab.run('cat /lab/state/kept; ls /tmp')).toBe('kept\n');
      expect(await lab.run('rm /lab/state/kept; lspci -s 44: | wc -l')).toBe('2\n');
    },
  );

  it('tells a command that the machine was rebooted under it', async ({ expect }) => {
    const waiting = lab.tryRun('touch /lab/x/out/waiting; sleep 3000', 3_600_000);
    await lab.run('until [[ -e /lab/x/out/waiting ]]; do sleep 0.1; done; rm /lab/x/out/waiting');
    await lab.reboot({ hard: true });
    const { status, stderr } = await waiting;
    expect({ status, stderr }).toMatchObject({
      status: 125,
      stderr: expect.stringContaining('rebooted under the command'),
    });
  });
});
