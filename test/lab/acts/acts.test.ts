/** The agent's privileged acts and the generic driver's prepare, release and clean on the lab's functions: the kernel answers. */
import process from 'node:process';
import { describe, it } from 'vitest';
import { installedAt } from '../bundle.ts';
import { Lab, needsLab } from '../lab.ts';

needsLab();

const program = `${installedAt}/test/lab/acts/inside.js`;
/** A dozen processes, each of which an emulated processor takes seconds to start. */
const runMsMax = 900_000;

type Step = Readonly<Record<string, unknown>>;
type Answer = Readonly<Record<string, unknown>>;

const nothingKept = { accepted: true, reason: 'the lab keeps nothing' };
const everything = {
  classes: ['03', '0108', '00ff'],
  offer: 'all',
  unbind: 'idle',
  rules: [
    { address: '0000:21:00.0', vfs: { count: 2 }, resetless: nothingKept },
    { vendor: '1b36', device: '0010', resetless: nothingKept },
  ],
};

interface Host {
  readonly config: object;
  /** In place of /sys. */
  readonly sysfs?: string;
}

async function act(lab: Lab, host: Host, steps: readonly Step[]): Promise<Answer[]> {
  const work = Buffer.from(JSON.stringify({ ...host, steps })).toString('base64');
  const said = await lab.run(`base64 -d <<< ${work} | ${process.execPath} ${program}`, runMsMax);
  const lines = said.split('\n').filter((line) => line.startsWith('{'));
  return lines.map((line) => JSON.parse(line) as Answer); // inside.ts prints one object a step
}

const driverOf = async (lab: Lab, address: string): Promise<string> => {
  const folder = `/sys/bus/pci/devices/${address}`;
  return (await lab.run(`basename "$(readlink ${folder}/driver || echo none)"`)).trim();
};

const frozen = '/tmp/frozen';

/** A sysfs of files on a frozen file system: reads are answered, a write waits in the kernel, deaf to SIGKILL. */
function frozenTree(address: string): string {
  const device = `${frozen}/sys/devices/pci0000:00/${address}`;
  return [
    'set -e',
    'modprobe -a loop ext4',
    `mkdir -p ${frozen}; truncate -s 16M ${frozen}.img; mkfs.ext4 -q ${frozen}.img`,
    `mount -o loop ${frozen}.img ${frozen}`,
    `mkdir -p ${device} ${frozen}/sys/bus/pci/devices; cd ${device}`,
    'echo 0x1234 > vendor; echo 0x11e8 > device; echo 0x00ff00 > class; echo flr > reset_method',
    ': > reset',
    `ln -s ../../../devices/pci0000:00/${address} ${frozen}/sys/bus/pci/devices/${address}`,
    `fsfreeze -f ${frozen}`,
  ].join('\n');
}

describe('functions of the lab', () => {
  it('go to vfio-pci and back to their driver, reset by their own method', async ({ expect }) => {
    const lab = Lab.current();
    const at = '0000:41:00.0';
    expect(await driverOf(lab, at)).toBe('nvme');
    const [bound, again, listed, cleaned] = await act(lab, { config: everything }, [
      { do: 'prepare', at },
      { do: 'prepare', at },
      { do: 'ask', method: 'listBound' },
      { do: 'clean', at },
    ]);
    expect(bound).toEqual({ plan: { kind: 'pci', address: at } });
    expect(again).toEqual(bound);
    // Its number is its kernel driver's to read.
    const accelerator = expect.stringMatching(/^pci-1b36-0010-.+-f0$/);
    expect(listed).toEqual({ functions: [{ address: at, kernel_driver: 'nvme', accelerator }] });
    expect(cleaned).toEqual({
      evidence: [
        'reset by flr',
        'what was written to it was not erased: accepted, the lab keeps nothing',
        'answers',
        'ids 0x1b36:0x0010 and class as before',
        'configuration space as expected: no bus mastering, addresses as assigned',
        'put back as it was found',
      ],
    });
    expect(await driverOf(lab, at)).toBe('nvme');
  });

  it('that share an IOMMU group go together, and are refused with the name of what is not listed', async ({
    expect,
  }) => {
    const lab = Lab.current();
    const [one, other, bridge] = ['0000:44:01.0', '0000:44:02.0', '0000:43:00.0'];
    expect(await driverOf(lab, bridge)).toBe('shpchp');
    const alone = { ...everything, rules: [], exclude: [{ address: other }] };
    const [refused] = await act(lab, { config: alone }, [{ do: 'prepare', at: one }]);
    expect(refused).toMatchObject({ error: 'unsupported' });
    expect(String(refused?.['message'])).toMatch(
      /shares IOMMU group \d+ with 0000:44:02\.0 \(no driver\)/,
    );
    const careful = { ...everything, unbind: 'never' };
    const [withheld] = await act(lab, { config: careful }, [{ do: 'prepare', at: one }]);
    expect(String(withheld?.['message'])).toMatch(
      /shares IOMMU group \d+ with the bridge 0000:43:00\.0 \(shpchp\); set unbind: idle/,
    );
    const [first, second, during, failed, kept, last, listed] = await act(
      lab,
      { config: everything },
      [
        { do: 'prepare', at: one },
        { do: 'prepare', at: other },
        { do: 'ask', method: 'listBound' },
        { do: 'clean', at: one },
        { do: 'clean', at: one, reason: 'an edu forgets' },
        { do: 'clean', at: other, reason: 'an edu forgets' },
        { do: 'ask', method: 'listBound' },
      ],
    );
    expect([first, second]).toEqual([
      { plan: { kind: 'pci', address: one } },
      { plan: { kind: 'pci', address: other } },
    ]);
    expect(during).toMatchObject({
      functions: expect.arrayContaining([{ address: bridge, kernel_driver: 'shpchp' }]),
    });
    if (
      (await lab.tryRun(`test -e /sys/bus/pci/devices/${bridge}/reset_subordinate`)).status === 0
    ) {
      expect(String(failed?.['evidence'])).toMatch(/reset by bus.*kept with 0000:44:02\.0/);
      expect(String(kept?.['evidence'])).toMatch(/reset by bus.*kept with 0000:44:02\.0/);
    } else {
      expect(failed).toMatchObject({ error: 'unsupported' });
      expect(String(failed?.['message'])).toMatch(/cannot be reset by itself/);
      expect(String(kept?.['evidence'])).toMatch(
        /accepted, an edu forgets.*kept with 0000:44:02\.0/,
      );
    }
    expect(String(last?.['evidence'])).toMatch(/put back as it was found/);
    expect(listed).toEqual({ functions: [] });
    expect([await driverOf(lab, one), await driverOf(lab, other)]).toEqual(['none', 'none']);
    expect(await driverOf(lab, bridge)).toBe('shpchp');
  });

  it('are divided as configured, not while a part is in use, and whole only without parts', async ({
    expect,
  }) => {
    const lab = Lab.current();
    const [card, part] = ['0000:21:00.0', '0000:21:00.1'];
    const none = { do: 'ask', method: 'setVfCount', at: card, params: { count: 0 } };
    const [, given, whole, early, cleaned, late] = await act(lab, { config: everything }, [
      { do: 'discover' },
      { do: 'prepare', at: part },
      { do: 'prepare', at: card },
      none,
      { do: 'clean', at: part },
      none,
    ]);
    expect(given).toEqual({ plan: { kind: 'pci', address: part } });
    expect(whole).toMatchObject({ error: 'unsupported' });
    expect(String(whole?.['message'])).toMatch(/divided into 2 virtual functions/);
    expect(early).toMatchObject({ error: 'host-use' });
    expect(String(early?.['message'])).toMatch(/Virtual function 0 .* is bound to vfio-pci/);
    expect(cleaned).toMatchObject({ evidence: expect.arrayContaining(['reset by flr']) });
    expect(late).toEqual({});
    expect((await lab.run(`cat /sys/bus/pci/devices/${card}/sriov_numvfs`)).trim()).toBe('0');
  });

  it('that the host uses are refused at every entrance, with the name of the holder', async ({
    expect,
  }) => {
    const lab = Lab.current();
    const at = '0000:47:00.0';
    const params = { kernel_driver: 'vfio-pci', unbind: [at] };
    const answers = await act(lab, { config: everything }, [
      { do: 'prepare', at },
      { do: 'ask', method: 'bind', at, params },
      { do: 'ask', method: 'unbind', at },
      { do: 'ask', method: 'reset', at },
    ]);
    for (const answer of answers) {
      expect(answer).toMatchObject({ error: 'host-use' });
      expect(String(answer['message'])).toMatch(/mounted at \/lab\/state/);
    }
    expect(await driverOf(lab, at)).toBe('nvme');
  });

  it('are left alone after an act that the kernel does not end, and the others work', async ({
    expect,
  }) => {
    const lab = Lab.current();
    const at = '0000:00:10.0';
    await lab.run(frozenTree(at));
    try {
      const host = {
        config: { classes: ['00ff'], offer: 'all' },
        sysfs: `${frozen}/sys`,
      };
      const [hung, again, seen] = await act(lab, host, [
        { do: 'ask', method: 'reset', at },
        { do: 'ask', method: 'reset', at },
        { do: 'discover' },
      ]);
      expect(hung).toMatchObject({ error: 'transient' });
      expect(String(hung?.['message'])).toMatch(/process \d+ hangs in the kernel \(state D\)/);
      expect(again).toMatchObject({ error: 'transient' });
      expect(String(again?.['message'])).toMatch(/An earlier reset .* hangs in the kernel/);
      expect(seen).toMatchObject({ accelerators: [{ address: at }] });
    } finally {
      await lab.run(`fsfreeze -u ${frozen}; umount -l ${frozen}; rm -f ${frozen}.img`);
    }
  });
});
