/** Every dialog in both themes and two widths: nothing that axe calls serious. What they do is tried elsewhere. */
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { tarballOf, testEntries } from '@cyborg/driver-package/test-package';
import { digestOf } from '@cyborg/driver-package/digest';
import { signDigest } from '@cyborg/driver-package/signature';

import { scene, sceneOr } from './browser.ts';
import { clientOf } from './demo.ts';
import { looks, takePicture } from './looks.ts';
import { useBrowser } from './windows.ts';

interface DialogOfConsole {
  readonly name: string;
  readonly path: string;
  /** What is pressed, one after the other. */
  readonly press: readonly (string | RegExp)[];
  /** Fills it in so far that all of it shows. */
  readonly fill?: (page: Page) => Promise<unknown>;
}

const version = { driver_id: 'acme', version: '9.9.9' };

const choose = (label: RegExp, option: string) => (page: Page) =>
  page.getByRole('combobox', { name: label }).selectOption({ label: option });

async function everyDialog(): Promise<DialogOfConsole[]> {
  if (scene === undefined) return [];
  const v3 = clientOf(scene, 'admin');
  const query = { host: 'demo-gpu', type: 'GPU', state: 'available' };
  const [gpu] = (await v3.listAccelerators({ query })).items;
  const accelerator = `/accelerators/${gpu?.id}`;
  const [withheld] = (await v3.listAccelerators({ query: { state: 'withheld' } })).items;
  const backend = '/backends/demo-gpu@demo-virtual';
  return [
    { name: 'upload', path: '/drivers', press: ['Upload a package'] },
    { name: 'approve', path: '/drivers/acme', press: ['Approve'] },
    { name: 'delete-version', path: '/drivers/acme', press: ['Delete'] },
    {
      name: 'install',
      path: '/drivers/generic',
      press: ['Install'],
      fill: async (page) => {
        await page
          .getByRole('combobox', { name: /^What it serves/ })
          .selectOption({ value: 'virtual' });
        await page.getByLabel('Name of the backend').fill('soft');
        await page.getByLabel('Configuration, as JSON').fill('{"crypto": ');
        await page.getByRole('button', { name: /^How it comes to the hosts/ }).click();
      },
    },
    {
      name: 'update',
      path: '/drivers/generic',
      press: ['Update', /^How it comes to the hosts/],
    },
    { name: 'uninstall', path: '/drivers/generic', press: ['Uninstall'] },
    { name: 'join-token', path: '/hosts', press: ['Make a join token'] },
    { name: 'join-token-shown', path: '/hosts', press: ['Make a join token', 'Make it'] },
    { name: 'revoke', path: '/hosts/demo-gpu', press: ['Revoke'] },
    { name: 'reenrol', path: '/hosts/demo-gpu', press: ['Enrol again'] },
    { name: 'disable-host', path: '/hosts/demo-gpu', press: ['Disable'] },
    { name: 'grant', path: '/grants', press: ['Grant'] },
    { name: 'restart', path: backend, press: ['Restart'] },
    { name: 'disable-backend', path: backend, press: ['Disable'] },
    {
      name: 'create-accelerator',
      path: '/accelerators',
      press: ['Create'],
      fill: choose(/^Backend/, 'demo-gpu@demo-virtual (virtual)'),
    },
    {
      name: 'create-accelerator-pci',
      path: '/accelerators',
      press: ['Create'],
      fill: choose(/^Backend/, 'demo-gpu@demo-pci (pci)'),
    },
    { name: 'delete-accelerator', path: accelerator, press: ['Delete'] },
    { name: 'withhold', path: accelerator, press: ['Withhold'] },
    {
      name: 'identify',
      path: `/accelerators/${withheld?.id}`,
      press: ['Say which card it is'],
    },
    {
      name: 'program',
      path: accelerator,
      press: ['Program'],
      fill: async (page) => {
        const file = { name: 'aes.bit', mimeType: '', buffer: Buffer.from('an image') };
        await page.getByLabel('Image', { exact: true }).setInputFiles(file);
        await page.getByText('What will happen').waitFor();
        await page.getByLabel(/^SHA-256/).fill('none');
      },
    },
    { name: 'edit', path: accelerator, press: ['Edit'] },
    { name: 'attach', path: accelerator, press: ['Attach'] },
    { name: 'create-profile', path: '/profiles', press: ['Create'] },
    { name: 'quota', path: '/quotas', press: ['Change'] },
  ];
}

describe('every dialog', () => {
  const openAs = useBrowser();

  beforeAll(async () => {
    if (scene === undefined) return;
    const v3 = clientOf(scene, 'admin');
    const bytes = await tarballOf(testEntries({ version: version.version }));
    const { digest } = await digestOf(inOnePiece(bytes));
    const query = { signature: signDigest(digest, scene.publisherPem) };
    await v3.uploadDriver({ query, body: inOnePiece(bytes) });
  });
  afterAll(async () => {
    if (scene === undefined) return;
    await clientOf(scene, 'admin').deleteDriverVersion({ params: version });
  });

  for (const { theme, width } of looks) {
    it(`is without serious faults, ${theme} and ${width} pixels wide`, async (context) => {
      const { expect } = context;
      sceneOr(context);
      const where = { path: '/', theme, width, height: 1100 };
      await using window = await openAs(context, 'admin', where);
      const { page } = window;
      const found = new Map<string, string[]>();
      for (const { name, path, press, fill } of await everyDialog()) {
        await window.go(path);
        await window.settled();
        for (const button of press) {
          const one = page.getByRole('button', { name: button, exact: true });
          await one.first().click();
        }
        await page.getByRole('dialog').first().waitFor();
        await fill?.(page);
        await page
          .getByRole('status', { name: 'Asking what would happen' })
          .first()
          .waitFor({ state: 'detached' });
        await takePicture(page, { name: `dialog-${name}`, theme, width });
        const faults = await window.violations();
        if (faults.length > 0) found.set(name, faults);
        expect(window.complaints, name).toEqual([]);
      }
      expect(Object.fromEntries(found)).toEqual({});
    });
  }
});

async function* inOnePiece(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}
