/** Whether ledger, machine and guest say the same, and nothing is under way. */
import { isDeepStrictEqual } from 'node:util';

import type { Accelerator, Attachment } from '@cyborg/api-spec/v3/accelerators';
import { systemClock } from '@cyborg/service/clock';
import { eventually } from '@cyborg/testing/processes';

import { patientMs, type Guest } from './guest.ts';
import type { Scene } from './scene.ts';

const finalStates = ['succeeded', 'failed', 'cancelled'];

/** Waits until all is settled. @returns what the guest holds, and how long it took. */
export async function settle(scene: Scene): Promise<{ held: Attachment[]; ms: number }> {
  const startedMs = systemClock.monotonicMs();
  let why: string | undefined;
  const held = await eventually(
    async () => {
      why = 'the API does not answer';
      const found = await look(scene);
      why = found.why;
      return why === undefined ? found.held : undefined;
    },
    {
      timeoutMs: patientMs,
      pauseMs: 100,
      what: 'ledger, machine and guest agree',
      context: () => `${why}\n${scene.cyborg.logs()}\n${scene.guest.lines.slice(-30).join('\n')}`,
    },
  );
  return { held, ms: Math.round(systemClock.monotonicMs() - startedMs) };
}

async function look(scene: Scene): Promise<{ why: string | undefined; held: Attachment[] }> {
  const api = await scene.cyborg.admin();
  const { items: operations } = await api.listOperations({ query: { limit: 20 } });
  const { items: accelerators } = await api.listAccelerators({});
  const params = { instance_id: scene.guest.uuid };
  const { items: held } = await api.listAttachments({ params });
  const open = operations.find(({ state }) => !finalStates.includes(state));
  const { items: backends } = await api.listBackends({});
  const away = backends.find(({ state }) => state !== 'ready');
  const why =
    (away && `backend ${away.name} is ${away.state}: ${away.reason}`) ??
    (open && `operation ${open.id} (${open.kind}) is ${open.state}`) ??
    whyDisagree(accelerators, held) ??
    (await whyElseInMachine(scene, held)) ??
    whyElseInGuest(scene.guest, held);
  return { why, held: [...held] };
}

function whyDisagree(
  accelerators: readonly Accelerator[],
  held: readonly Attachment[],
): string | undefined {
  const strange = accelerators.find(
    ({ state, instance_id: instance, presence }) =>
      presence !== 'present' || state !== (instance === null ? 'available' : 'attached'),
  );
  if (strange !== undefined) {
    return `${strange.name} is ${strange.presence}, ${strange.state}, of ${strange.instance_id}`;
  }
  const loose = held.find(({ state, observed }) => state !== 'attached' || observed !== 'plugged');
  if (loose !== undefined) return `attachment ${loose.id} is ${loose.state}, ${loose.observed}`;
  const ofAccelerators = accelerators.flatMap(({ attachment_id: id }) => id ?? []).toSorted();
  const ids = held.map(({ id }) => id).toSorted();
  if (isDeepStrictEqual(ids, ofAccelerators)) return undefined;
  return `the instance holds ${ids.join()}, the accelerators say ${ofAccelerators.join()}`;
}

async function whyElseInMachine(
  { witness }: Scene,
  held: readonly Attachment[],
): Promise<string | undefined> {
  const wanted = held.map((attachment) => String(attachment.device_name)).toSorted();
  const devices = await witness.devices();
  const backends = await witness.backends();
  if (isDeepStrictEqual(devices, wanted) && isDeepStrictEqual(backends, wanted)) return undefined;
  return `the ledger says ${wanted.join()}, QEMU has ${devices.join()} with ${backends.join()}`;
}

function whyElseInGuest(guest: Guest, held: readonly Attachment[]): string | undefined {
  const there = guest.devices();
  if (there.length === held.length) return undefined;
  return `the guest has ${there.length} of our devices (${there.join()}), not ${held.length}`;
}
