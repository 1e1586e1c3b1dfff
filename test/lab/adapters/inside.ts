/**
 * Runs inside the lab: a hypervisor's adapter, without agent and server. `node adapters.js qemu|libvirt < STEPS.json`: a
 * list of steps, of which each prints one line of JSON.
 */
import process from 'node:process';
import { text } from 'node:stream/consumers';

import { HypervisorError, type Hypervisor } from '@cyborg/agent/hypervisors/hypervisor';
import { openLibvirtHypervisor } from '@cyborg/agent/hypervisors/libvirt/libvirt';
import { openQemuHypervisor } from '@cyborg/agent/hypervisors/qemu/qemu';
import { systemClock } from '@cyborg/service/clock';
import { systemRng } from '@cyborg/service/rng';
import Type, { type Static } from 'typebox';
import { Parse } from 'typebox/value';

const StepsSchema = Type.Array(
  Type.Object({
    do: Type.Union([Type.Literal('list'), Type.Literal('plug'), Type.Literal('unplug')]),
    instance: Type.Optional(Type.String()),
    device: Type.Optional(Type.String()),
    address: Type.Optional(Type.String()),
    /** How long the guest may take to let go. */
    patienceMs: Type.Optional(Type.Integer()),
  }),
);
type Step = Static<typeof StepsSchema>[number];

/** The machine is emulated, and whatever emulates it is busy. */
const slow = { answerMsMax: 60_000, unplugMsMax: 180_000 } as const;

function open(kind: string, unplugMsMax: number): Promise<Hypervisor> {
  const options = { clock: systemClock, answerMsMax: slow.answerMsMax, unplugMsMax };
  if (kind === 'qemu') return openQemuHypervisor({ ...options, directory: '/run/cyborg/qmp' });
  const directory = '/tmp/adapters-libvirt';
  return openLibvirtHypervisor({ ...options, uri: 'qemu:///system', rng: systemRng, directory });
}

async function take(kind: string, step: Step): Promise<object> {
  const { instance: instanceId = '', device: deviceName = '', address = '' } = step;
  const never = new AbortController().signal;
  await using hypervisor = await open(kind, step.patienceMs ?? slow.unplugMsMax);
  if (step.do === 'list') return await hypervisor.list(never);
  if (step.do === 'unplug') await hypervisor.unplug({ instanceId, deviceName }, never);
  else {
    const plan = { kind: 'pci', address } as const;
    await hypervisor.plug({ instanceId, deviceName, plan }, never);
  }
  return {};
}

const [kind = 'qemu'] = process.argv.slice(2);
for (const step of Parse(StepsSchema, JSON.parse(await text(process.stdin)))) {
  const answer = await take(kind, step).catch((error: unknown) => {
    if (error instanceof HypervisorError) return { code: error.code, message: error.message };
    throw error;
  });
  console.log(JSON.stringify(answer));
}
