/** What was attached to a running server, as the guest, libvirt, our ledger and Placement have it. */
import { asText, type JsonObject } from '@cyborg/openstack/reader';

import { allocationsOf } from './card.ts';
import { cyborgList, cyborgShow } from './commands.ts';
import type { LabUser } from './lab.ts';
import { pluggedInto, type Server } from './servers.ts';
import { until } from './until.ts';

export const guestSeconds = 120;

/** What the guest has said since it was started last. */
export async function saidSince(server: Server): Promise<string> {
  const all = await server.console();
  const start = all.lastIndexOf('TESTBED-PCI  0000:00:00.0');
  return start < 0 ? '' : all.slice(start);
}

export async function awaitReady(server: Server): Promise<void> {
  await until({ what: `${server.name} is up`, seconds: guestSeconds }, async () =>
    (await saidSince(server)).includes('TESTBED-GUEST READY') ? true : undefined,
  );
}

const countOf = (text: string, pattern: RegExp): number => [...text.matchAll(pattern)].length;

/** Virtio-rng's that the guest has, its own included: there when it started, or plugged since; and not unplugged. */
function rngsOf(text: string): number {
  const rng = String.raw`\S+ 1af4:1005 virtio-pci`;
  const have = countOf(text, new RegExp(`TESTBED-PCI[+ ] +${rng}`, 'g'));
  return have - countOf(text, new RegExp(`TESTBED-PCI- ${rng}`, 'g'));
}

/** Nova gives the guest one; the rest is what was attached. */
export async function awaitInGuest(server: Server, count: number): Promise<void> {
  await until(
    { what: `the guest of ${server.name} has ${count} of ours`, seconds: guestSeconds },
    async () => {
      const [text, plugged] = await Promise.all([saidSince(server), pluggedInto(server.id)]);
      return rngsOf(text) === 1 + count && plugged.length === count ? true : undefined;
    },
  );
}

/** @returns the accelerators. */
export async function attach(user: LabUser, server: Server, ...words: string[]): Promise<string[]> {
  const said = ['attach-instance', server.id, '--driver', 'generic', ...words];
  const { accelerators } = await cyborgShow(user, ...said);
  if (!Array.isArray(accelerators)) throw new Error('attach-instance tells no accelerators');
  return accelerators.map((each: JsonObject) => asText(each['id'], 'id'));
}

export const attachmentsOf = (server: Server): Promise<JsonObject[]> =>
  cyborgList('admin', 'attachment-list', server.id);

export const stateOf = async (accelerator: string): Promise<unknown> =>
  (await cyborgShow('admin', 'accelerator-show', accelerator))['state'];

export async function awaitAvailable(
  accelerators: readonly string[],
  seconds: number,
): Promise<void> {
  await until({ what: 'what was attached is available again', seconds }, async () => {
    const states = await Promise.all(accelerators.map(stateOf));
    return states.every((state) => state === 'available') ? true : undefined;
  });
}

export async function awaitNothingAllocated(attachments: readonly JsonObject[]): Promise<void> {
  await until({ what: 'Placement has no allocation left', seconds: guestSeconds }, async () => {
    const left = await Promise.all(attachments.map(({ id }) => allocationsOf(asText(id, 'id'))));
    return left.every((each) => Object.keys(each).length === 0) ? true : undefined;
  });
}
