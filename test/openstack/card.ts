/** The fake card in the lab: how many of its handles Placement offers, and that nothing of it leaks. */
import { makePlacement } from '@cyborg/openstack/placement';
import { asText } from '@cyborg/openstack/reader';

import { acceleratorClient, cyborg, cyborgList } from './commands.ts';
import { labSettings, sessionOf } from './lab.ts';
import { makeFlavor } from './servers.ts';
import { until } from './until.ts';

export const cardProfile = 'f-card';
export const cardFlavor = 'f.card';
const resourceClass = 'FPGA';
const handlesOfCard = 4;
const settleSeconds = 60;
export const cardGroups = [{ 'resources:FPGA': '1', 'trait:CUSTOM_FAKE_DEVICE': 'required' }];

async function must(...words: string[]): Promise<void> {
  const { code, stderr } = await cyborg('admin', ...words);
  if (code !== 0) throw new Error(`cyborg ${words.join(' ')} exits ${code}: ${stderr.trim()}`);
}

async function installed(): Promise<Set<string>> {
  const rows = await cyborgList('admin', 'backend-list');
  return new Set(rows.map(({ driver_id: driver }) => asText(driver, 'driver_id')));
}

/** Once per file: both built-in drivers on the lab's host. */
export async function installDrivers(): Promise<void> {
  const there = await installed();
  if (!there.has('generic')) await must('install-driver', 'generic');
  if (there.has('fake')) return;
  const config = `count=${handlesOfCard}`;
  await must('install-driver', 'fake', '--backend', 'card', '--kind', 'card', '--config', config);
}

/** How the card writes program images; what is left out is the driver's default. */
export async function setCard(
  settings: { readonly program_seconds?: number; readonly program_fails?: boolean } = {},
): Promise<void> {
  const { program_seconds: seconds = null, program_fails: fails = null } = settings;
  const words = ['--config', `program_seconds=${seconds}`, '--config', `program_fails=${fails}`];
  await must('update-driver', 'fake', '--backend', 'card', ...words);
}

/**
 * The profile and a flavor that asks for it.
 *
 * @param more  keys of the group besides the resource and the trait.
 */
export async function makeCardFlavor(
  more: Readonly<Record<string, string>> = {},
): Promise<AsyncDisposable> {
  const openstack = acceleratorClient('admin');
  await openstack('device', 'profile', 'delete', cardProfile);
  const groups = JSON.stringify(cardGroups.map((group) => ({ ...group, ...more })));
  await openstack.show('device', 'profile', 'create', cardProfile, groups);
  const flavor = await makeFlavor(cardFlavor, cardProfile);
  return {
    async [Symbol.asyncDispose]() {
      await flavor[Symbol.asyncDispose]();
      await openstack('device', 'profile', 'delete', cardProfile);
    },
  };
}

export interface CardView {
  /** total - reserved. */
  readonly offered: number;
  readonly used: number;
  /** Consumers that hold some. */
  readonly holders: readonly string[];
}

/** What Placement says of the card; undefined: nothing. */
export async function lookAtCard(): Promise<CardView | undefined> {
  using session = sessionOf('cyborg');
  const placement = makePlacement(session);
  const provider = await placement.findProvider(`${labSettings().host}_FakeDevice`);
  if (provider === undefined) return undefined;
  const inventory = (await placement.getInventories(provider.uuid))?.byClass[resourceClass];
  if (inventory === undefined) return undefined;
  return {
    offered: inventory.total - inventory.reserved,
    used: (await placement.getUsages(provider.uuid))?.[resourceClass] ?? 0,
    holders: [...((await placement.getProviderAllocations(provider.uuid))?.keys() ?? [])],
  };
}

/** Of every consumer, with how much of what. */
export async function allocationsOf(consumer: string): Promise<object> {
  using session = sessionOf('cyborg');
  return (await makePlacement(session).getAllocations(consumer))?.byProvider ?? {};
}

/** Those of this host: the lab's, unless told. */
export async function cardAccelerators(
  host = labSettings().host,
): Promise<{ id: string; state: string }[]> {
  const words = ['accelerator-list', '--driver', 'fake', '--host', host];
  const rows = await cyborgList('admin', ...words);
  return rows.map(({ id, state }) => ({ id: asText(id, 'id'), state: asText(state, 'state') }));
}

/** Withholds the rest, and waits until Placement offers so many, and nobody holds one. */
export async function offerCards(count: number): Promise<void> {
  await awaitFree();
  const all = (await cardAccelerators()).toSorted((a, b) => a.id.localeCompare(b.id));
  for (const [at, { id, state }] of all.entries()) {
    const wanted = at < count ? 'available' : 'withheld';
    if (state !== wanted) await must('accelerator-update', id, '--state', wanted);
  }
  await until({ what: `Placement offers ${count} free`, seconds: settleSeconds }, async () => {
    const card = await lookAtCard();
    return card?.offered === count && card.used === 0 ? true : undefined;
  });
}

/** Nobody holds one, neither in the ledger nor in Placement. */
export async function awaitFree(): Promise<void> {
  await until({ what: 'all of the card is free', seconds: settleSeconds }, async () => {
    const all = await cardAccelerators();
    const isIdle = all.every(({ state }) => state === 'available' || state === 'withheld');
    return isIdle && all.length > 0 && (await lookAtCard())?.used === 0 ? true : undefined;
  });
}
