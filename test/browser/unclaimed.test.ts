/** What guests have and the ledger does not know, as an operator meets it: which card it is, where, and in which guest. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { V3Client } from '@cyborg/api-client/v3';
import { carriedOut } from '@cyborg/testing/carried-out';
import { eventually } from '@cyborg/testing/processes';
import type { Locator, Page } from 'playwright-core';
import { describe, it } from 'vitest';

import { confirm, sceneOr } from './browser.ts';
import { clientOf } from './demo.ts';
import { faultsInLooks } from './looks.ts';
import type { BrowserScene } from './setup.ts';
import { useBrowser } from './windows.ts';

const settleMs = 120_000;
const host = 'demo-gpu';

/** The files of a guest's devices, as its simulated hypervisor keeps them: whoever puts one there has plugged it. */
class Guest implements Disposable {
  readonly #hypervisor: string;
  readonly #id: string;
  readonly #plugged: string[] = [];

  constructor({ stateDir }: BrowserScene, id: string) {
    this.#hypervisor = join(stateDir, 'demo', host, 'hypervisor');
    this.#id = id;
  }

  get #folder(): string {
    return join(this.#hypervisor, 'devices', this.#id);
  }

  /** @returns the device's name, of an attachment that no ledger has. */
  plug(plan: object): string {
    const name = `ua-cyborg-${randomUUID()}-1`;
    const draft = join(this.#hypervisor, 'tmp', name);
    writeFileSync(draft, JSON.stringify({ name, plan }));
    mkdirSync(this.#folder, { recursive: true });
    renameSync(draft, join(this.#folder, name));
    this.#plugged.push(name);
    return name;
  }

  devices(): string[] {
    return readdirSync(this.#folder).filter((name) => this.#plugged.includes(name));
  }

  /** It does not let go of anything. */
  clings(): Disposable {
    const file = join(this.#hypervisor, 'faults', `guest-refuses.${this.#id}`);
    writeFileSync(file, '');
    return { [Symbol.dispose]: () => rmSync(file, { force: true }) };
  }

  [Symbol.dispose](): void {
    for (const name of this.#plugged) rmSync(join(this.#folder, name), { force: true });
  }
}

async function untilIs(
  v3: V3Client,
  id: string,
  wanted: { readonly state: string; readonly instance_id: string | null },
): Promise<void> {
  let last: object = {};
  await eventually(
    async () => {
      const { state, instance_id, reason } = await v3.showAccelerator({ params: { id } });
      last = { state, instance_id, reason };
      return state === wanted.state && instance_id === wanted.instance_id;
    },
    {
      timeoutMs: settleMs,
      what: `accelerator ${id} is ${wanted.state}`,
      context: () => `It is ${JSON.stringify(last)}.`,
    },
  );
}

describe('devices that nobody claims', () => {
  const openAs = useBrowser();

  it('are named with accelerator, address and instance, adopted as what they are, or released and cleaned', async (context) => {
    const { expect } = context;
    const scene = sceneOr(context);
    const v3 = clientOf(scene, 'admin');
    const query = { host, type: 'GPU', state: 'available', sort: 'name' };
    const [kept, taken] = (await v3.listAccelerators({ query })).items;
    if (kept === undefined || taken === undefined) throw new Error('two cards must be free');
    const { items: instances } = await v3.listInstances({ query: { host } });
    const vm = instances.find(({ name }) => name === 'train-1')?.id ?? '';
    using guest = new Guest(scene, vm);
    const deviceKept = guest.plug({ kind: 'pci', address: kept.address });
    const deviceTaken = guest.plug({ kind: 'pci', address: taken.address });
    const deviceUnknown = guest.plug({ kind: 'virtio-rng', source: '/dev/urandom' });

    await using window = await openAs(context, 'admin', '/');
    const { page } = window;
    const dialog = page.getByRole('dialog');
    const trouble = page.getByRole('listitem').filter({ hasText: 'adopt or release it' });
    await trouble.getByRole('link', { name: deviceKept }).click({ timeout: settleMs });
    await window.heading('Unclaimed devices');
    const row = (device: string): Locator =>
      page.getByRole('row', { name: new RegExp(`^${device} `) });
    const act = async (device: string, verb: string): Promise<void> =>
      row(device).getByRole('button', { name: verb, exact: true }).click();
    for (const [device, { name, address }] of [
      [deviceKept, kept],
      [deviceTaken, taken],
    ] as const) {
      await row(device).getByRole('link', { name, exact: true }).waitFor({ timeout: settleMs });
      await row(device)
        .getByText(address ?? '', { exact: true })
        .waitFor();
      await row(device)
        .getByRole('link', { name: vm.slice(0, 8) })
        .waitFor();
    }
    await row(deviceUnknown)
      .getByRole('link', { name: vm.slice(0, 8) })
      .waitFor({ timeout: settleMs });
    await row(deviceUnknown).getByText('not known', { exact: true }).waitFor();
    const open = (look: object) => openAs(context, 'admin', { path: '/unclaimed', ...look });
    // On a narrow screen a row begins with the name of its first column.
    const press = (its: Page) =>
      its
        .getByRole('row')
        .filter({ hasText: deviceKept })
        .getByRole('button', { name: 'Adopt' })
        .click();
    expect(await faultsInLooks(open, { name: 'unclaimed-devices', press })).toEqual([]);

    // Nobody else is given it meanwhile, and its page says why.
    await row(deviceKept).getByRole('link', { name: kept.name, exact: true }).click();
    await window.heading(kept.name);
    await page.getByText('Why it is cleaning').waitFor();
    await page.getByText(`has it as ${deviceKept}`).first().waitFor();
    expect(
      await page.getByRole('button', { name: 'Attach', exact: true }).getAttribute('aria-disabled'),
    ).toBe('true');
    await window.go('/unclaimed');

    // It is known which one it is: there is nothing to choose, so no wrong one either.
    await act(deviceKept, 'Adopt');
    await page.getByRole('dialog', { name: `Adopt ${deviceKept} as ${kept.name}` }).waitFor();
    await dialog.getByText('What will happen').waitFor();
    expect(await dialog.getByRole('combobox').count()).toBe(0);
    await confirm(page, 'Adopt');
    await row(deviceKept).waitFor({ state: 'detached' });
    await untilIs(v3, kept.id, { state: 'attached', instance_id: vm });

    // Which one the other is nobody knows: who names one that somebody holds is told so.
    await act(deviceUnknown, 'Adopt');
    const choice = dialog.getByRole('combobox', { name: /^Which accelerator/ });
    await choice.selectOption({ label: `${kept.name} (attached)` });
    await dialog.getByText('This would be refused').waitFor();
    await dialog.getByText(`${kept.name} is held by instance ${vm}`).waitFor();
    const adopt = dialog.getByRole('button', { name: 'Adopt', exact: true });
    expect(await adopt.isDisabled()).toBe(true);
    expect(await window.violations()).toEqual([]);
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await act(deviceUnknown, 'Release');
    await confirm(page, 'Release');
    await row(deviceUnknown).waitFor({ state: 'detached', timeout: settleMs });

    {
      using _ = guest.clings();
      await act(deviceTaken, 'Release');
      await dialog.getByText(`is ordered to unplug ${deviceTaken}`).waitFor();
      await confirm(page, 'Release');
      await row(deviceTaken)
        .getByText(/^release: .*did not let go/)
        .waitFor({ timeout: settleMs });
    }
    await row(deviceTaken).waitFor({ state: 'detached', timeout: settleMs });
    expect(guest.devices()).toEqual([deviceKept]);
    await untilIs(v3, taken.id, { state: 'available', instance_id: null });
    await window.go(`/accelerators/${taken.id}`);
    await page
      .getByRole('row', { name: /accelerator\.cleaned/ })
      .first()
      .waitFor();

    const ofVm = { params: { instance_id: vm }, query: { accelerator: kept.id } };
    carriedOut(await v3.deleteAttachments(ofVm));
    await untilIs(v3, kept.id, { state: 'available', instance_id: null });
    expect(guest.devices()).toEqual([]);
    expect(window.complaints).toEqual([]);
  });
});
