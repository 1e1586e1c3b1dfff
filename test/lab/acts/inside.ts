/**
 * Runs inside the lab: the generic driver and the agent's privileged acts on the machine's real functions, without a
 * server. `node test/lab/acts/inside.ts < STEPS.json`: a list of steps, of which each prints one line of JSON.
 */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { makeBackend } from '../../../apps/agent/test/agent-under-test.ts';
import { Backend } from '../../../apps/agent/src/driver-host/backend.ts';
import { PrivilegedActs } from '../../../apps/agent/src/privileged/acts.ts';
import { Permits } from '../../../apps/agent/src/privileged/permits.ts';
import { DriverProcess } from '@cyborg/driver-host/driver-process';
import { driverLimits } from '@cyborg/driver-host/limits';
import { DriverCallError } from '@cyborg/driver-host/driver-error';
import type { AgentMethod, Inventory } from '@cyborg/driver-sdk/protocol';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';

/** The machine is emulated, and whatever emulates it is busy. */
const slow = { deadlineMs: 300_000 } as const;
const stateDir = '/tmp/cyborg-acts';
const driverMain = fileURLToPath(new URL('../../../drivers/generic/src/main.ts', import.meta.url));

interface Step {
  readonly do: 'discover' | 'prepare' | 'release' | 'clean' | 'uninstall' | 'ask';
  /** PCI address of the accelerator. */
  readonly at?: string;
  readonly method?: AgentMethod;
  readonly params?: Record<string, unknown>;
  readonly reason?: string;
}

interface Work {
  /** A tree that takes the place of /sys. */
  readonly sysfs?: string;
  readonly config: Record<string, unknown>;
  readonly steps: readonly Step[];
}

mkdirSync(`${stateDir}/driver`, { recursive: true });
const work = JSON.parse(await text(process.stdin)) as Work; // the test's own
const roots = { sysfs: work.sysfs ?? '/sys', proc: '/proc', dev: '/dev' };
const backend = new Backend(
  { ...makeBackend({ id: 'b0', name: 'b', config: work.config }) },
  () => undefined,
);
const permits = new Permits();
const log = makeLogger({ name: 'lab', level: 'silent', clock: systemClock });
const acts = new PrivilegedActs({
  clock: systemClock,
  log,
  simulated: false,
  roots,
  stateDir,
  permits,
  lease: { isHeld: () => true },
  preparation: { loadModule: () => Promise.resolve('load it yourself') },
  timeoutMs: slow.deadlineMs,
});
const child = spawn(process.execPath, [driverMain], { stdio: ['pipe', 'pipe', 'pipe'] });
const driver = new DriverProcess({
  child,
  label: 'generic',
  clock: systemClock,
  limits: driverLimits,
  onNotification: (name, params) => {
    if (name === 'log') console.error(`driver: ${params.message}`);
  },
  onRequest: async (method, params) => acts.do(method, params, backend),
});

await driver.call(
  'initialize',
  {
    protocol_versions: ['1'],
    agent_version: '0',
    host: { name: 'lab', node_name: 'lab' },
    roots,
    simulated: false,
    state_dir: `${stateDir}/driver`,
    backends: [],
  },
  slow,
);
await driver.call(
  'install',
  {
    backend: { name: 'b', kind: 'pci', config: work.config },
    dry_run: false,
  },
  slow,
);
await discover();
for (const step of work.steps) {
  const answer = await perform(step).catch((error: unknown) => ({
    error: error instanceof DriverCallError ? error.failure : 'bug',
    message: error instanceof Error ? error.message : String(error),
  }));
  console.log(JSON.stringify(answer));
}
driver.kill('done');
process.exit(0);

async function discover(): Promise<Inventory> {
  const inventory = await driver.call('discover', { backend: 'b' }, slow);
  backend.setInventory(inventory);
  return inventory;
}

async function perform(step: Step): Promise<object> {
  if (step.do === 'discover') return summaryOf(await discover());
  if (step.do === 'uninstall')
    return await driver.call('uninstall', { backend: 'b', dry_run: false }, slow);
  const [accelerator = ''] = backend.acceleratorsAt(step.at ?? '');
  using _permit = permits.grant('b0', accelerator);
  const target = { backend: 'b', accelerator, epoch: 1 };
  const attachment = '00000000-0000-4000-8000-000000000000';
  switch (step.do) {
    case 'prepare':
      return await driver.call(
        'prepare',
        {
          ...target,
          attachment,
          instance: attachment,
          plugs: ['pci', 'mdev'],
        },
        slow,
      );
    case 'release':
      return await driver.call('release', { ...target, attachment }, slow);
    case 'clean':
      return await driver.call(
        'clean',
        {
          ...target,
          ...(step.reason !== undefined && { resetless_reason: step.reason }),
        },
        slow,
      );
    case 'ask': // without an order, but for an accelerator that is named
      return await acts.do(
        step.method ?? 'restore',
        { backend: 'b', address: step.at ?? '', ...step.params },
        backend,
      );
  }
}

function summaryOf({ devices }: Inventory): object {
  const accelerators = devices.flatMap((device) =>
    device.deployables.flatMap((part) =>
      part.accelerators.map((one) => ({
        address: `${one.attach_info['domain']}:${one.attach_info['bus']}:${one.attach_info['device']}.${one.attach_info['function']}`,
        key: one.key,
        offered: one.offered,
        reason: one.reason,
        obstacle: one.obstacle,
        host_use: one.host_use,
        group: one.group_members,
        root: one.pcie_root,
        info: device.info['vfs_not_made'],
      })),
    ),
  );
  return { accelerators };
}
