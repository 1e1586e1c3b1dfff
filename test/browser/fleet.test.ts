/** What an operator does with hosts, backends and services, and with what nobody claims. */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { carriedOut } from '@cyborg/testing/carried-out';
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { closedTo, confirm, sceneOr } from './browser.ts';
import { clientOf } from './demo.ts';
import { atTheEnd } from './leftovers.ts';
import type { BrowserScene } from './setup.ts';
import { useBrowser } from './windows.ts';

const settleMs = 120_000;

/** Of this try alone: one before it may have left its own. */
const ownName = (what: string): string => `${what}-${randomUUID().slice(0, 8)}`;

/** A host of nobody: enrolled as an agent does it, and silent from then on. */
async function enrol({ url }: BrowserScene, name: string, token: string): Promise<void> {
  const host = { name, node_name: name };
  const body = { token, host, instance: randomUUID(), version: '0.1.0', facts: {} };
  const response = await fetch(`${url}/agent/v1/enroll`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (response.status !== 201) throw new Error(await response.text());
  await response.body?.cancel();
}

describe('hosts', () => {
  const openAs = useBrowser();

  it('enrol by a token that is shown once, are revoked and enrolled again', async (context) => {
    const { expect } = context;
    const scene = sceneOr(context);
    const v3 = clientOf(scene, 'admin');
    await using window = await openAs(context, 'admin', '/hosts');
    const { page } = window;
    const dialog = page.getByRole('dialog');
    const [ghost, unused] = [ownName('ghost'), ownName('spare')];
    await page.getByRole('button', { name: 'Make a join token' }).click();
    await dialog.getByLabel('Host').fill(ghost);
    await dialog.getByText(`a join token for ${ghost} is made`).waitFor();
    await confirm(page, 'Make it');
    await dialog.getByText('it is not shown again').waitFor();
    const token = await dialog.getByLabel('Join token').inputValue();
    await enrol(scene, ghost, token);
    await dialog.getByRole('button', { name: 'I have it' }).click();
    await dialog.waitFor({ state: 'detached' });
    expect(await page.getByText(token).count()).toBe(0);

    // Another one is taken back before anybody uses it.
    const spare = carriedOut(await v3.createJoinToken({ body: { host: unused } }));
    const open = page.getByRole('row', { name: new RegExp(`^${unused}`) });
    await open.getByRole('button', { name: 'Take back' }).click();
    await confirm(page, 'Take back');
    await open.waitFor({ state: 'detached' });
    await expect(enrol(scene, unused, spare.token)).rejects.toThrow(/token is unknown/);

    await page.getByRole('link', { name: ghost }).click();
    await window.heading(ghost);
    await page.getByRole('button', { name: 'Revoke' }).click();
    await confirm(page, 'Revoke');
    await page.getByRole('row', { name: /host.revoked/ }).waitFor();
    expect(await v3.showHost({ params: { host: ghost } })).toMatchObject({ state: 'down' });

    await page.getByRole('button', { name: 'Enrol again' }).click();
    await confirm(page, 'Make a token');
    const again = await dialog.getByLabel('Join token').inputValue();
    expect(again).not.toBe(token);
    await enrol(scene, ghost, again);
    await dialog.getByRole('button', { name: 'I have it' }).click();
    await page.getByRole('row', { name: /host.re-enrolled/ }).waitFor();
    expect(window.complaints).toEqual([]);
  });

  it('are granted to a project and taken back', async (context) => {
    const { expect } = context;
    const v3 = clientOf(sceneOr(context), 'admin');
    await using window = await openAs(context, 'admin', '/grants');
    const { page } = window;
    const dialog = page.getByRole('dialog');
    await page.getByRole('button', { name: 'Grant', exact: true }).click();
    const physics = ownName('physics');
    await dialog.getByLabel('Project').fill(physics);
    await dialog.getByRole('combobox', { name: /^Host/ }).selectOption('demo-recorded');
    await dialog.getByRole('combobox', { name: 'Backend' }).selectOption('demo-virtual');
    await confirm(page, 'Grant');
    const row = page.getByRole('row', { name: new RegExp(`^${physics}`) });
    await row.getByText('demo-virtual').waitFor();
    const query = { project_id: physics };
    expect((await v3.listGrants({ query })).items).toMatchObject([
      { host: 'demo-recorded', backend: 'demo-virtual' },
    ]);
    await row.getByRole('button', { name: 'Take back' }).click();
    await confirm(page, 'Take back');
    await row.waitFor({ state: 'detached' });
    expect((await v3.listGrants({ query })).items).toEqual([]);
    expect(window.complaints).toEqual([]);
  });

  it('are only looked at by a manager, and are not there for a member', async (context) => {
    const { expect } = context;
    await using manager = await openAs(context, 'manager', '/hosts');
    const make = manager.page.getByRole('button', { name: 'Make a join token' });
    await closedTo(make);
    await manager.go('/grants');
    const grant = manager.page.getByRole('button', { name: 'Grant', exact: true });
    await closedTo(grant);
    await grant.focus();
    await manager.page.getByText('This is for the role admin; yours is manager.').waitFor();
    await using member = await openAs(context, 'member', '/grants');
    await member.page.getByText('grant:list is not allowed for member').waitFor();
    const offered = await member.page.getByRole('navigation', { name: 'Pages' }).innerText();
    expect(offered).not.toContain('Grants');
    expect([...manager.complaints, ...member.complaints]).toEqual([]);
  });
});

describe('backends and services', () => {
  const openAs = useBrowser();

  it('are disabled and enabled, and look for their hardware again', async (context) => {
    const { expect } = context;
    const v3 = clientOf(sceneOr(context), 'admin');
    const whole = 'demo-recorded@demo-virtual';
    await using window = await openAs(context, 'admin', '/backends?host=demo-recorded');
    const { page } = window;
    const act = (name: string): Promise<void> =>
      page.getByRole('button', { name, exact: true }).click();
    await page.getByRole('link', { name: 'demo-virtual' }).click();
    await window.heading(whole);
    const params = { backend: whole };
    for (const [verb, status] of [
      ['Disable', 'disabled'],
      ['Enable', 'enabled'],
    ] as const) {
      await act(verb);
      await confirm(page, verb);
      await page.getByText(`demo-virtual is ${status} now.`).waitFor();
      expect(await v3.showBackend({ params })).toMatchObject({ status });
    }
    await act('Discover now');
    await confirm(page, 'Discover now');
    await page.getByText('Discover: succeeded').waitFor({ timeout: settleMs });

    await act('Restart');
    await confirm(page, 'Restart');
    await page.getByText('Restart backend: succeeded').waitFor({ timeout: settleMs });
    const log = page.getByRole('table', { name: 'What its driver says' });
    await eventually(
      async () => {
        await act('Read again');
        return (await log.getByText('agent', { exact: true }).count()) > 0;
      },
      { timeoutMs: settleMs, what: 'the log tells of the restart', pauseMs: 500 },
    );

    await window.go('/services?host=demo-recorded&backend=demo-virtual');
    const service = page.getByRole('row', { name: /^random\.entropy/ });
    for (const [verb, status] of [
      ['Disable', 'disabled'],
      ['Enable', 'enabled'],
    ] as const) {
      await service.getByRole('button', { name: verb }).click();
      await confirm(page, verb);
      await service.getByText(status, { exact: true }).waitFor();
    }
    expect(window.complaints).toEqual([]);
  });

  it('get one more accelerator by request, and lose it again', async (context) => {
    const { expect } = context;
    const v3 = clientOf(sceneOr(context), 'admin');
    await using window = await openAs(context, 'admin', '/accelerators?host=demo-recorded');
    const { page } = window;
    const dialog = page.getByRole('dialog');
    await page.getByRole('button', { name: 'Create', exact: true }).click();
    await dialog
      .getByRole('combobox', { name: /^Backend/ })
      .selectOption({ label: 'demo-recorded@demo-virtual (virtual)' });
    await dialog.getByRole('combobox', { name: /^Function/ }).selectOption('entropy');
    const dice = ownName('dice');
    await dialog.getByLabel('Name').fill(dice);
    await confirm(page, 'Create');
    await window.heading(dice);
    const id = page.url().split('/').at(-1) ?? '';
    await page.getByText('available', { exact: true }).first().waitFor({ timeout: settleMs });
    expect(await v3.showAccelerator({ params: { id } })).toMatchObject({
      name: dice,
      type: 'ENTROPY',
    });
    await page.getByRole('button', { name: 'Delete' }).click();
    await confirm(page, 'Delete');
    await window.heading('Accelerators');
    await expect(v3.showAccelerator({ params: { id } })).rejects.toThrow(/no accelerator/i);
    expect(window.complaints).toEqual([]);
  });
});

describe('what nobody claims', () => {
  const openAs = useBrowser();

  it('is adopted or released', async (context) => {
    const { expect } = context;
    const scene = sceneOr(context);
    const v3 = clientOf(scene, 'admin');
    const { items: instances } = await v3.listInstances({ query: { host: 'demo-recorded' } });
    const cache = instances.find(({ name }) => name === 'cache')?.id ?? '';
    const { items } = await v3.listAccelerators({
      query: { host: 'demo-recorded', type: 'ENTROPY', sort: 'name' },
    });
    const [accelerator] = items;
    const ended = async (operation: { readonly id: string }): Promise<void> => {
      await eventually(
        async () => {
          const { state } = await v3.showOperation({ params: { id: operation.id } });
          return state === 'succeeded';
        },
        { timeoutMs: settleMs, what: `operation ${operation.id} succeeds` },
      );
    };

    // Somebody plugged two by hand: files as the simulated hypervisor keeps them, copied from a right one.
    const hypervisor = join(scene.stateDir, 'demo', 'demo-recorded', 'hypervisor');
    const devices = join(hypervisor, 'devices', cache);
    const params = { instance_id: cache };
    const names = [1, 2].map(() => `ua-cyborg-${randomUUID()}-1`);
    await using _none = atTheEnd(
      async () => ended(carriedOut(await v3.deleteAttachments({ params }))),
      async () => names.forEach((name) => rmSync(join(devices, name), { force: true })),
    );
    await ended(
      carriedOut(
        await v3.createAttachments({ params, body: { accelerator: accelerator?.id ?? '' } }),
      ),
    );
    const [right = ''] = readdirSync(devices);
    const content = readFileSync(join(devices, right), 'utf8');
    await ended(carriedOut(await v3.deleteAttachments({ params })));
    for (const name of names) {
      const draft = join(hypervisor, 'tmp', name);
      writeFileSync(draft, content.replace(right, name));
      renameSync(draft, join(devices, name));
    }

    await using window = await openAs(context, 'admin', '/unclaimed');
    const { page } = window;
    const dialog = page.getByRole('dialog');
    const row = (name = '') => page.getByRole('row', { name: new RegExp(`^${name}`) });
    await row(names[0]).waitFor({ timeout: settleMs });
    await row(names[1]).waitFor({ timeout: settleMs });
    await row(names[0]).getByRole('button', { name: 'Release' }).click();
    await confirm(page, 'Release');
    await row(names[0]).waitFor({ state: 'detached', timeout: settleMs });
    expect(readdirSync(devices)).toEqual([names[1]]);

    await row(names[1]).getByRole('button', { name: 'Adopt' }).click();
    await dialog
      .getByRole('combobox', { name: /^Which accelerator/ })
      .selectOption(accelerator?.id ?? '');
    await confirm(page, 'Adopt');
    await row(names[1]).waitFor({ state: 'detached', timeout: settleMs });
    const held = { params: { id: accelerator?.id ?? '' } };
    expect(await v3.showAccelerator(held)).toMatchObject({ state: 'attached', instance_id: cache });

    await ended(carriedOut(await v3.deleteAttachments({ params })));
    expect(readdirSync(devices)).toEqual([]);
    expect(window.complaints).toEqual([]);
  });
});
