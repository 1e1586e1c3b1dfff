/** A driver's life on its page: taken in, approved, rolled out, gone back, taken away. */
import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { digestOf } from '@cyborg/driver-package/digest';
import { signDigest } from '@cyborg/driver-package/signature';
import { carriedOut } from '@cyborg/testing/carried-out';
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { reportOn } from '../../apps/server/test/conformance-report.ts';
import { packAcme } from '../system/acme.ts';
import { closedTo, confirm, sceneOr } from './browser.ts';
import { clientOf } from './demo.ts';
import { atTheEnd, uninstalling } from './leftovers.ts';
import type { BrowserScene } from './setup.ts';
import { useBrowser } from './windows.ts';

const settleMs = 120_000;
const hosts = ['demo-crypto-fpga', 'demo-recorded'] as const;

interface Signed {
  readonly digest: string;
  readonly file: string;
  readonly signatureFile: string;
  readonly signature: string;
}

async function makePackage(scene: BrowserScene, version: string): Promise<Signed> {
  const file = await packAcme(scene, { version });
  const { digest } = await digestOf(createReadStream(file));
  const signature = signDigest(digest, scene.publisherPem);
  const signatureFile = `${file}.sig`;
  writeFileSync(signatureFile, `${signature}\n`);
  return { digest, file, signatureFile, signature };
}

describe('the page of a driver', () => {
  const openAs = useBrowser();

  it('takes in a package, approves it, rolls a version out, pauses, goes back and takes it away', async (context) => {
    const { expect } = context;
    const scene = sceneOr(context);
    const v3 = clientOf(scene, 'admin');
    const first = await makePackage(scene, '1.0.0');
    const second = await makePackage(scene, '1.1.0');
    const versions = ['1.0.0', '1.1.0'].map((version) => ({ driver_id: 'acme', version }));
    await using _none = atTheEnd(
      uninstalling(v3, 'acme'),
      ...versions.map((params) => () => v3.deleteDriverVersion({ params })),
    );
    const broken = join(scene.folder, 'broken.tgz');
    writeFileSync(broken, 'no package at all');
    await using window = await openAs(context, 'admin', '/drivers');
    const { page } = window;
    const dialog = page.getByRole('dialog');
    const act = (name: string): Promise<void> =>
      page.getByRole('button', { name, exact: true }).click();

    await act('Upload a package');
    const upload = dialog.getByRole('button', { name: 'Upload' });
    await dialog.getByLabel('Package').setInputFiles(broken);
    await dialog.getByRole('alert').waitFor();
    expect(await upload.isDisabled()).toBe(true);
    await dialog.getByLabel('Package').setInputFiles(first.file);
    await dialog.getByText('It is not signed.').waitFor();
    expect(await upload.isDisabled()).toBe(true);
    await dialog.getByLabel('Signature').setInputFiles(first.signatureFile);
    await confirm(page, 'Upload');
    await window.heading('acme');
    expect(page.url()).toMatch(/\/drivers\/acme$/);

    const install = page.getByRole('button', { name: 'Install', exact: true });
    await closedTo(install);
    const listed = page.getByRole('table', { name: 'Versions' });
    const row = (version: string) => listed.getByRole('row', { name: new RegExp(`^${version} `) });
    await row('1.0.0').getByText('uploaded').waitFor();
    const reports = page.getByRole('table', { name: 'Conformance reports' });
    await reports.getByText('no conformance report').waitFor();
    await v3.putConformanceReport({
      params: { driver_id: 'acme', version: '1.0.0' },
      body: reportOn({ driver_id: 'acme', version: '1.0.0', digest: first.digest }),
    });
    // The page hears of it.
    await reports.getByText('1 hold, 0 broken').waitFor();
    await row('1.0.0').getByRole('button', { name: 'Approve' }).click();
    await dialog.getByText('sha512-').waitFor();
    await confirm(page, 'Approve');
    await row('1.0.0').getByText('approved', { exact: true }).waitFor();

    await install.click();
    await dialog.getByLabel('Hosts', { exact: true }).fill(hosts.join(', '));
    await dialog.getByRole('button', { name: /^How it comes to the hosts/ }).click();
    await dialog.getByLabel('How many hosts go first').fill('0');
    await dialog.getByText('A whole number from 1 to 10000.').waitFor();
    await dialog.getByLabel('How many hosts go first').fill('1');
    await confirm(page, 'Install');
    await page.getByText('Version 1.0.0 runs wherever it is wanted').waitFor({ timeout: settleMs });
    await page.getByText('2 of 2 hosts').waitFor();
    const params = { driver_id: 'acme' };
    expect((await v3.showDeployment({ params })).rollout).toEqual({ canary: 1 });

    // Somebody else brings the next version; the page shows it without being asked.
    await v3.uploadDriver({
      query: { signature: second.signature },
      body: createReadStream(second.file),
    });
    await row('1.1.0').getByRole('button', { name: 'Approve' }).click();
    await confirm(page, 'Approve');
    await row('1.1.0').getByText('approved', { exact: true }).waitFor();
    await act('Update');
    await dialog.getByRole('button', { name: /^How it comes to the hosts/ }).click();
    await dialog.getByLabel('Hosts at once').fill('1');
    await dialog.getByLabel('Seconds between batches').fill('3600');
    await confirm(page, 'Update');
    await page.getByText('Version 1.1.0 is coming to its hosts').waitFor();
    await page.getByText('1 of 2 hosts').waitFor({ timeout: settleMs });
    await act('Pause');
    await confirm(page, 'Pause');
    await page.getByText('Version 1.1.0 is paused').waitFor();
    await act('Resume');
    await confirm(page, 'Resume');
    // It does not wait for the pause that was under way: it may be done when the page shows it.
    await page.getByText(/Version 1\.1\.0 (is coming|runs wherever)/).waitFor();
    await act('Roll back');
    await confirm(page, 'Roll back');
    await page.getByText('Version 1.0.0 runs wherever it is wanted').waitFor({ timeout: settleMs });
    const { installations } = await v3.showDeployment({ params });
    expect(installations.map(({ running_version: version }) => version)).toEqual([
      '1.0.0',
      '1.0.0',
    ]);

    const backends = page.getByRole('table', { name: 'Backends of the deployment' });
    await backends.getByRole('button', { name: 'Configure' }).click();
    const config = dialog.getByLabel('Configuration, as JSON');
    await config.fill('{"count": ');
    await dialog.getByText('It must be a JSON object').waitFor();
    await config.fill('{"count": 3}');
    await confirm(page, 'Save');
    await eventually(
      async () => (await v3.listAccelerators({ query: { driver_id: 'acme' } })).items.length === 6,
      { timeoutMs: settleMs, what: 'three accelerators of each host' },
    );

    // Whoever acts on a page that has not heard of the last change yet is told so, and looks again.
    await eventually(
      async () => {
        const { items } = await v3.listOperations({ query: { limit: 50 } });
        return items.every(({ state }) => ['succeeded', 'failed', 'cancelled'].includes(state));
      },
      { timeoutMs: settleMs, what: 'the change of the configuration is through' },
    );
    await page.reload();
    await act('Uninstall');
    await confirm(page, 'Uninstall');
    await page.getByText('Uninstall driver: succeeded').waitFor({ timeout: settleMs });
    await page.getByText('Nowhere').waitFor();
    for (const { version } of versions) {
      await row(version).getByRole('button', { name: 'Delete' }).click();
      await confirm(page, 'Delete');
      await page.getByText(`acme ${version} is deleted.`).waitFor();
    }
    await window.go('/drivers');
    await page.getByRole('link', { name: 'generic' }).waitFor();
    expect(await page.getByRole('link', { name: 'acme' }).count()).toBe(0);
    expect(window.complaints).toEqual([]);
  });

  it('lets a manager install on the host that an admin has granted, and only there', async (context) => {
    const { expect } = context;
    const v3 = clientOf(sceneOr(context), 'admin');
    await using manager = await openAs(context, 'manager', '/hosts');
    await manager.page.getByText('none is granted to your project').waitFor();
    const grant = carriedOut(
      await v3.createGrant({ body: { project_id: 'demo', host: 'demo-recorded' } }),
    );
    await using _none = atTheEnd(uninstalling(v3, 'fake'), () =>
      v3.deleteGrant({ params: { id: grant.id } }),
    );
    // The grant is an event of the project: the list is read again.
    await manager.page.getByRole('link', { name: 'demo-recorded' }).waitFor();
    await manager.go('/drivers/fake');
    const { page } = manager;
    const dialog = page.getByRole('dialog');
    await page.getByRole('button', { name: 'Install', exact: true }).click();
    await dialog.getByText('backend card is installed').waitFor();
    await confirm(page, 'Install');
    await page.getByText('Install driver: succeeded').waitFor({ timeout: settleMs });
    const installed = page.getByRole('table', { name: 'Installations' });
    await installed.getByRole('link', { name: 'demo-recorded' }).waitFor();
    const params = { driver_id: 'fake' };
    const { installations } = await v3.showDeployment({ params });
    expect(installations.map(({ host }) => host)).toEqual(['demo-recorded']);
    await page.getByRole('button', { name: 'Uninstall', exact: true }).click();
    expect(await dialog.getByText('What is in use').count()).toBe(0);
    await confirm(page, 'Uninstall');
    await page.getByText('Uninstall driver: succeeded').waitFor({ timeout: settleMs });
    await v3.deleteGrant({ params: { id: grant.id } });
    expect(manager.complaints).toEqual([]);
  });

  it('offers a manager no catalogue, and a reader nothing, and says why', async (context) => {
    const { expect } = context;
    await using manager = await openAs(context, 'manager', '/drivers');
    const upload = manager.page.getByRole('button', { name: 'Upload a package' });
    await closedTo(upload);
    await upload.focus();
    await manager.page.getByText('This is for the role admin; yours is manager.').waitFor();
    await using reader = await openAs(context, 'reader', '/drivers/generic');
    for (const name of ['Install', 'Update', 'Uninstall']) {
      await closedTo(reader.page.getByRole('button', { name, exact: true }));
    }
    await reader.page.getByText('Admins and managers see where drivers are installed.').waitFor();
    expect([...manager.complaints, ...reader.complaints]).toEqual([]);
  });
});
