/** A guest that holds real functions, and whether ledger, machine and the guest's own kernel still say the same of it. */
import { eventually } from '@cyborg/testing/processes';

import { attach, cards, untilAvailable } from './attach.ts';
import type { LabGuest } from './guests.ts';
import { patientMs, type Lab } from './lab.ts';
import { Site, type Accelerator, type SiteOptions } from './site.ts';

/** What a guest holds in these tests, by the ids that its kernel sees. */
export const held = {
  [cards.nvmeVf]: '1b36:0010',
  [cards.edu]: '1234:11e8',
} as const;

const heldIds: ReadonlySet<string> = new Set(Object.values(held));

const accepted = { accepted: true, reason: 'a test wrote to it' } as const;
const config = {
  classes: [],
  rules: [
    { address: cards.nvmePf, vfs: { count: 2 }, type: 'SSD' },
    { address: '0000:21:0*', type: 'SSD', offer: true, resetless: accepted },
    { vendor: '1234', device: '11e8', offer: true, resetless: accepted },
    { vendor: '8086', device: '10d3', type: 'NIC', unbind: 'idle', offer: true },
    // What is plugged into hp0 and hp1.
    ...['0000:23:*', '0000:46:*'].map((address) => ({
      address,
      vendor: '1b36',
      device: '0010',
      type: 'SSD',
      unbind: 'idle',
      offer: true,
      resetless: accepted,
    })),
  ],
} as const;

/** The rule's minute is too short here: on an emulated processor a guest takes up to three to start. */
const serverArgs = ['--vanish-after', '600'];

export async function openSite(lab: Lab, options: SiteOptions = {}): Promise<Site> {
  const site = await Site.open(lab, { ...options, serverArgs });
  await site.installDriver(config);
  return site;
}

export async function giveBoth(site: Site, guest: LabGuest): Promise<void> {
  await site.untilInstance(guest.uuid);
  const names = [];
  for (const address of Object.keys(held)) names.push((await untilAvailable(site, address)).name);
  await attach(site, guest, { ids: Object.values(held), names });
}

/** Of the devices that these tests hand over: what the guest's kernel has now. */
export function seenBy(guest: LabGuest): string[] {
  const ids = guest.functions().map((one) => one.ids);
  return ids.filter((one) => heldIds.has(one)).toSorted();
}

/** Lines in which the guest says that a device came or went, since this was called. */
export function listenTo(guest: LabGuest): () => string[] {
  const since = guest.lines.length;
  return () => guest.lines.slice(since).filter((line) => /^NESTED-(ADD|DEL)/.test(line));
}

export interface Lasting {
  readonly id: string;
  readonly accelerator_id: string | null;
}

/** Waits until the guest holds what is in `addresses` and nothing else, and nothing is under way. */
export async function untilHolds(
  site: Site,
  guest: LabGuest,
  addresses: readonly string[],
): Promise<Lasting[]> {
  let why: string | undefined;
  const params = { instance_id: guest.uuid };
  return await eventually(
    async () => {
      // A card that was in a port before is not asked about.
      const accelerators = (await site.accelerators()).filter(
        ({ presence, state }) => presence === 'present' || state === 'attached',
      );
      const { items } = await site.v3.listAttachments({ params });
      const { items: operations } = await site.v3.listOperations({ query: { limit: 50 } });
      why =
        operations.flatMap(({ id, state }) =>
          isOpen(state) ? [`operation ${id} is ${state}`] : [],
        )[0] ??
        accelerators.flatMap((one) => strangeness(one, guest, addresses) ?? [])[0] ??
        items.flatMap(({ id, state, observed, reason }) =>
          state === 'attached' && observed === 'plugged'
            ? []
            : [`attachment ${id} is ${state}, ${observed}: ${reason}`],
        )[0] ??
        whyElse(
          'attachments',
          items.map(({ accelerator_id: id }) => `${id}`),
          {
            wanted: accelerators.filter(({ name }) => isOneOf(name, addresses)).map(({ id }) => id),
          },
        ) ??
        whyElse('functions in the guest', seenBy(guest), {
          wanted: addresses.map((address) => idsAt(address)),
        });
      return why === undefined && items.map(({ id, accelerator_id }) => ({ id, accelerator_id }));
    },
    {
      timeoutMs: 2 * patientMs,
      pauseMs: 250,
      what: `${guest.name} holds ${addresses.join() || 'nothing'}`,
      context: () => `${why}\n${guest.lines.slice(-20).join('\n')}\n${site.logs()}`,
    },
  );
}

export const both: readonly string[] = Object.keys(held);

function idsAt(address: string): string {
  return Object.entries(held).find(([at]) => at === address)?.[1] ?? '1b36:0010';
}

function isOpen(state: string): boolean {
  return !['succeeded', 'failed', 'cancelled'].includes(state);
}

function isOneOf(name: string, addresses: readonly string[]): boolean {
  return addresses.some((address) => name.endsWith(address));
}

function strangeness(
  { name, state, instance_id: instance, presence, reason }: Accelerator,
  guest: LabGuest,
  addresses: readonly string[],
): string | undefined {
  if (isOneOf(name, addresses)) {
    if (state === 'attached' && instance === guest.uuid && presence === 'present') return undefined;
  } else if (presence === 'absent' || ['available', 'withheld'].includes(state)) return undefined;
  return `${name} is ${presence}, ${state} (${reason}), of ${instance}`;
}

function whyElse(
  what: string,
  found: readonly string[],
  { wanted }: { wanted: readonly string[] },
): string | undefined {
  const is = found.toSorted().join();
  const should = wanted.toSorted().join();
  return is === should ? undefined : `${what}: ${is}, not ${should}`;
}
