/** The main act of each page, by the persona that it is for, and what came of it in the ledger. */
import { carriedOut } from '@cyborg/testing/carried-out';
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { closedTo, confirm, sceneOr } from './browser.ts';
import { clientOf } from './demo.ts';
import { atTheEnd } from './leftovers.ts';
import { useBrowser } from './windows.ts';

const settleMs = 120_000;

describe('the console', () => {
  const openAs = useBrowser();

  it('withholds an accelerator and approves it again, with a preview', async (context) => {
    const { expect } = context;
    await using window = await openAs(
      context,
      'admin',
      '/accelerators?host=demo-recorded&state=available&sort=name',
    );
    const { page } = window;
    const v3 = clientOf(sceneOr(context), 'admin');
    await page.getByRole('table', { name: 'Accelerators' }).getByRole('link').first().click();
    await page.getByRole('button', { name: 'Withhold' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Why').fill('its fan is loud');
    await dialog.getByText('What will happen').waitFor();
    await dialog.getByText('"available" becomes "withheld"').waitFor();
    await dialog.getByRole('button', { name: 'Withhold' }).click();
    await dialog.waitFor({ state: 'detached' });
    await page.getByText('its fan is loud').first().waitFor();
    const id = page.url().split('/').at(-1) ?? '';
    context
      .expect(await v3.showAccelerator({ params: { id } }))
      .toMatchObject({ state: 'withheld' });
    await page.getByRole('button', { name: 'Approve' }).click();
    await dialog.getByText('"withheld" becomes "available"').waitFor();
    await dialog.getByRole('button', { name: 'Approve' }).click();
    await dialog.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Attach' }).waitFor();
    context
      .expect(await v3.showAccelerator({ params: { id } }))
      .toMatchObject({ state: 'available' });
    expect(window.complaints).toEqual([]);
  });

  it('refuses an edit of what somebody else has changed meanwhile', async (context) => {
    const { expect } = context;
    await using window = await openAs(context, 'admin', '/accelerators?type=FPGA');
    const { page } = window;
    const v3 = clientOf(sceneOr(context), 'admin');
    const [fpga] = (await v3.listAccelerators({ query: { type: 'FPGA' } })).items;
    await window.go(`/accelerators/${fpga?.id}`);
    await page.getByRole('button', { name: 'Edit' }).click();
    const dialog = page.getByRole('dialog');
    // The page reads it again when the event comes; the dialog's answer is that of when it was sent.
    await page.route('**/v3/accelerators/**', async (route) => {
      const isEdit =
        route.request().method() === 'PATCH' && !route.request().url().includes('dry_run');
      if (isEdit) {
        const body = { description: `changed at ${Math.random()}` };
        await v3.updateAccelerator({ params: { id: fpga?.id ?? '' }, body });
      }
      await route.continue();
    });
    await dialog.getByLabel('Name').fill('fpga-of-the-console');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await dialog.getByText('Somebody changed it since').waitFor();
    expect(await v3.showAccelerator({ params: { id: fpga?.id ?? '' } })).toMatchObject({
      name: fpga?.name,
    });
  });

  it('creates a profile, attaches by it, shows the holder everywhere, detaches', async (context) => {
    const { expect } = context;
    const { url, stateDir } = sceneOr(context);
    const v3 = clientOf({ url, stateDir }, 'admin');
    await using _none = atTheEnd(() => v3.deleteProfile({ params: { profile: 'one-gpu' } }));
    await using admin = await openAs(context, 'admin', '/profiles');
    await admin.page.getByRole('button', { name: 'Create' }).click();
    const form = admin.page.getByRole('dialog');
    await form.getByLabel('Name').fill('one-gpu');
    const [gpu] = (
      await v3.listAccelerators({ query: { host: 'demo-gpu', type: 'GPU', state: 'available' } })
    ).items;
    await form.getByLabel('Resource class').fill(gpu?.resource_class ?? '');
    await form.getByText('What will happen').waitFor();
    await form.getByRole('button', { name: 'Create' }).click();
    await form.waitFor({ state: 'detached' });
    await admin.page.getByRole('table').getByText('one-gpu').waitFor();

    const { items: instances } = await v3.listInstances({ query: { host: 'demo-gpu' } });
    const train = instances.find(({ name }) => name === 'train-1');
    await using member = await openAs(context, 'member', `/instances/${train?.id}`);
    await member.heading('train-1');
    await member.page.getByRole('button', { name: 'Attach', exact: true }).click();
    const attach = member.page.getByRole('dialog');
    await attach.getByRole('combobox', { name: /^Device profile/ }).selectOption('one-gpu');
    await attach.getByText('What will happen').waitFor();
    await attach.getByRole('button', { name: 'Attach' }).click();
    await member.page.getByText('Attach: succeeded').waitFor({ timeout: settleMs });
    const held = member.page.getByRole('table', { name: 'What it holds' });
    await held.getByText('attached').waitFor();

    await admin.page.getByRole('link', { name: 'Overview' }).click();
    await admin.page.getByRole('link', { name: '1 GPU attached' }).waitFor();
    await admin.go('/hosts/demo-gpu');
    await admin.page.getByRole('link', { name: /attached, held by train-1/ }).waitFor();
    await admin.page.getByRole('button', { name: 'Words' }).click();
    await admin.page.getByText('attached, held by train-1').waitFor();

    await held.getByRole('button', { name: 'Detach' }).click();
    const detach = member.page.getByRole('dialog');
    await detach.getByText('What will happen').waitFor();
    await detach.getByRole('button', { name: 'Detach' }).click();
    await member.page.getByText('Detach: succeeded').waitFor({ timeout: settleMs });
    await member.page.getByText('Attach gives it an accelerator').waitFor();

    // Who held it when, and the profile goes again.
    const attachments = await v3.listEvents({
      query: { kind: 'attachment.attached', order: 'newest' },
    });
    const attached = attachments.items[0]?.data ?? {};
    const acceleratorId = JSON.stringify(attached['accelerator_id']).replaceAll('"', '');
    await admin.go(`/accelerators/${acceleratorId}`);
    await admin.page.getByText('given by member').waitFor();
    await admin.go('/profiles');
    const profile = admin.page.getByRole('row', { name: /^one-gpu/ });
    await profile.getByRole('button', { name: 'Delete' }).click();
    await confirm(admin.page, 'Delete');
    await admin.page.getByText('one-gpu is deleted.').waitFor();
    expect([...admin.complaints, ...member.complaints]).toEqual([]);
  });

  it('says why nothing fits, with the nearest misses, and does not offer the act', async (context) => {
    const { expect } = context;
    const v3 = clientOf(sceneOr(context), 'admin');
    const groups = [{ 'resources:FPGA': '1', 'trait:CUSTOM_NOBODY_HAS_IT': 'required' }];
    await v3.createProfile({ body: { name: 'too-much', groups } });
    await using _none = atTheEnd(() => v3.deleteProfile({ params: { profile: 'too-much' } }));
    const { items } = await v3.listInstances({ query: { host: 'demo-crypto-fpga' } });
    const gateway = items.find(({ name }) => name === 'gateway');
    await using window = await openAs(context, 'member', `/instances/${gateway?.id}`);
    await window.page.getByRole('button', { name: 'Attach', exact: true }).click();
    const dialog = window.page.getByRole('dialog');
    await dialog.getByRole('combobox', { name: /^Device profile/ }).selectOption('too-much');
    await dialog.getByText('This would be refused').waitFor();
    expect(await dialog.getByRole('button', { name: 'Attach' }).isDisabled()).toBe(true);
    await v3.deleteProfile({ params: { profile: 'too-much' } });
  });

  it('does not offer a reader what is not for readers, and says why', async (context) => {
    const { expect } = context;
    const v3 = clientOf(sceneOr(context), 'reader');
    const [instance] = (await v3.listInstances({})).items;
    await using window = await openAs(context, 'reader', `/instances/${instance?.id}`);
    const attach = window.page.getByRole('button', { name: 'Attach', exact: true });
    await closedTo(attach);
    await attach.focus();
    await window.page
      .getByText('This is for the role admin or manager or member; yours is reader.')
      .waitFor();
    await window.go('/hosts');
    await window.page.getByText('host:list is not allowed for reader').waitFor();
    expect(window.complaints).toEqual([]);
  });

  it('sets a quota, discovers with progress, disables and enables a host', async (context) => {
    const { expect } = context;
    await using window = await openAs(context, 'admin', '/quotas?project=demo');
    const { page } = window;
    const v3 = clientOf(sceneOr(context), 'admin');
    const row = page.getByRole('row', { name: /^FPGA/ });
    await row.getByRole('button', { name: 'Change' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel(/At most/).fill('7');
    await dialog.getByText('What will happen').waitFor();
    await dialog.getByRole('button', { name: 'Save' }).click();
    await row.getByText('0 of 7').waitFor();
    await v3.updateQuota({
      params: { project_id: 'demo' },
      body: { limits: [{ type: 'FPGA', accelerators_max: null }] },
    });
    await row.getByText('no limit').waitFor();

    await page.getByRole('link', { name: 'Hosts' }).click();
    await page.getByRole('link', { name: 'demo-recorded' }).click();
    await window.heading('demo-recorded');
    await page.getByRole('button', { name: 'Discover now' }).click();
    await dialog.getByText('What will happen').waitFor();
    await dialog.getByRole('button', { name: 'Discover now' }).click();
    await page.getByText('Discover: succeeded').waitFor({ timeout: settleMs });

    await page.getByRole('button', { name: 'Disable' }).click();
    await dialog.getByLabel('Why').fill('moving house');
    await dialog.getByRole('button', { name: 'Disable' }).click();
    await page.getByText('demo-recorded is disabled now.').waitFor();
    await page.getByText('moving house').first().waitFor();
    await page.getByRole('button', { name: 'Enable' }).click();
    await dialog.getByRole('button', { name: 'Enable' }).click();
    await page.getByText('demo-recorded is enabled now.').waitFor();
    expect(window.complaints).toEqual([]);
  });

  it('shows what it did itself at once, and does the next act on that, though no event comes', async (context) => {
    const { expect } = context;
    const v3 = clientOf(sceneOr(context), 'admin');
    await using window = await openAs(context, 'admin', '/hosts');
    const { page } = window;
    await page.route('**/v3/events*', async (route) => {
      const isStream = route.request().headers()['accept'] === 'text/event-stream';
      await (isStream ? route.abort() : route.continue());
    });
    await window.go('/hosts/demo-recorded');
    await window.heading('demo-recorded');
    const dialog = page.getByRole('dialog');
    for (const [verb, status] of [
      ['Disable', 'disabled'],
      ['Enable', 'enabled'],
      ['Disable', 'disabled'],
      ['Enable', 'enabled'],
    ] as const) {
      await page.getByRole('button', { name: verb, exact: true }).click();
      if (verb === 'Disable') await dialog.getByLabel('Why').fill('nobody tells');
      await confirm(page, verb);
      const params = { host: 'demo-recorded' };
      expect(await v3.showHost({ params })).toMatchObject({ status });
    }
    expect(window.complaints).toEqual([]);
  });

  it('keeps filters and order in the address, and follows events as they come', async (context) => {
    const { expect } = context;
    await using window = await openAs(context, 'admin', '/accelerators');
    const { page } = window;
    await page.getByRole('combobox', { name: 'Type' }).selectOption('ENTROPY');
    await page
      .getByRole('searchbox', { name: 'Host' })
      .or(page.getByLabel('Host'))
      .first()
      .fill('demo-gpu');
    await page.waitForURL(/host=demo-gpu/);
    await page.getByRole('button', { name: 'Name' }).click();
    await page.waitForURL(/sort=name/);
    const names = page.getByRole('table', { name: 'Accelerators' }).getByRole('row');
    await eventually(async () => (await names.count()) === 5, {
      timeoutMs: settleMs,
      what: 'four entropy accelerators and the head',
    });
    await page.getByRole('button', { name: 'Name' }).click();
    await page.waitForURL(/sort=-name/);
    await page.reload();
    await names.nth(1).getByText('entropy-3').waitFor();

    await window.go('/events');
    await window.settled();
    const v3 = clientOf(sceneOr(context), 'admin');
    const { id } = carriedOut(await v3.createDiscovery({ body: { host: 'demo-gpu' } }));
    await page
      .getByRole('row', { name: /backend.discovered/ })
      .first()
      .waitFor();
    await page
      .getByRole('link', { name: id.slice(0, 8) })
      .first()
      .click();
    await window.heading('Discover');
    await page.getByText('succeeded').first().waitFor({ timeout: settleMs });
    expect(window.complaints).toEqual([]);
  });
});
