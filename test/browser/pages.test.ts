/** Every page as every persona, in both themes and two widths: no error, nothing that axe calls serious. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { launch, scene, sceneOr, Window } from './browser.ts';
import { clientOf, noChromium, personas, type Persona } from './demo.ts';
import { looks, takePicture } from './looks.ts';

interface PageOfConsole {
  readonly name: string;
  readonly path: string;
  readonly heading: string | RegExp;
}

async function everyPage(persona: Persona): Promise<PageOfConsole[]> {
  if (scene === undefined) return [];
  const v3 = clientOf(scene, persona);
  const accelerators = await v3
    .listAccelerators({ query: { host: 'demo-gpu' } })
    .catch(() => undefined);
  const { items: instances } = await v3.listInstances({});
  const { items: operations } = await v3.listOperations({ query: { limit: 1 } });
  const accelerator = accelerators?.items.find(({ type }) => type === 'GPU');
  const isOperator = persona === 'admin' || persona === 'manager';
  const seesHosts = isOperator && (await v3.listHosts({})).items.length > 0;
  return [
    { name: 'overview', path: '/', heading: 'Overview' },
    { name: 'accelerators', path: '/accelerators', heading: 'Accelerators' },
    ...of(accelerator, ({ id, name }) => ({
      name: 'accelerator',
      path: `/accelerators/${id}`,
      heading: name,
    })),
    { name: 'services', path: '/services', heading: 'Services' },
    { name: 'drivers', path: '/drivers', heading: 'Drivers' },
    { name: 'driver', path: '/drivers/generic', heading: 'generic' },
    { name: 'instances', path: '/instances', heading: 'Instances' },
    ...of(instances[0], ({ id, name }) => ({
      name: 'instance',
      path: `/instances/${id}`,
      heading: name,
    })),
    { name: 'profiles', path: '/profiles', heading: 'Device profiles' },
    ...(isOperator ? [{ name: 'grants', path: '/grants', heading: 'Grants' }] : []),
    { name: 'quotas', path: '/quotas', heading: 'Quotas' },
    { name: 'operations', path: '/operations', heading: 'Operations' },
    ...of(operations[0], ({ id }) => ({
      name: 'operation',
      path: `/operations/${id}`,
      heading: /./,
    })),
    { name: 'events', path: '/events', heading: 'Events' },
    { name: 'no-such-page', path: '/nowhere', heading: 'There is no such page' },
    ...(isOperator
      ? [
          { name: 'hosts', path: '/hosts', heading: 'Hosts' },
          { name: 'backends', path: '/backends', heading: 'Backends' },
        ]
      : []),
    ...(seesHosts
      ? [
          { name: 'host', path: '/hosts/demo-gpu', heading: 'demo-gpu' },
          { name: 'host-crypto', path: '/hosts/demo-crypto-fpga', heading: 'demo-crypto-fpga' },
          { name: 'backend', path: '/backends/demo-gpu@demo-pci', heading: 'demo-gpu@demo-pci' },
        ]
      : []),
    ...(persona === 'admin'
      ? [{ name: 'unclaimed', path: '/unclaimed', heading: 'Unclaimed devices' }]
      : []),
  ];
}

function of<T>(thing: T | undefined, toPage: (thing: T) => PageOfConsole): PageOfConsole[] {
  return thing === undefined ? [] : [toPage(thing)];
}

describe('every page', () => {
  let browser: Browser | undefined;
  beforeAll(async () => {
    if (scene !== undefined) browser = await launch();
  });
  afterAll(async () => browser?.close());

  for (const { theme, width } of looks) {
    it(`is without serious faults, ${theme} and ${width} pixels wide`, async (context) => {
      const { expect } = context;
      const { url, stateDir } = sceneOr(context);
      if (browser === undefined) return context.skip(noChromium);
      await using window = await Window.open(browser, url, { theme, width, height: 1100 });
      await window.go('/');
      await window.heading('Sign in to Cyborg');
      await takePicture(window.page, { name: 'sign-in', theme, width });
      expect(await window.violations()).toEqual([]);
      await window.signIn(stateDir, 'admin');
      const found = new Map<string, string[]>();
      for (const { name, path, heading } of await everyPage('admin')) {
        await window.go(path);
        await window.heading(heading);
        await window.settled();
        await takePicture(window.page, { name, theme, width });
        const faults = await window.violations();
        if (faults.length > 0) found.set(name, faults);
        expect(window.complaints, name).toEqual([]);
      }
      expect(Object.fromEntries(found)).toEqual({});
    });
  }

  for (const persona of personas) {
    it(`shows a ${persona} what the role may see, and says what it may not`, async (context) => {
      const { expect } = context;
      const { url, stateDir } = sceneOr(context);
      if (browser === undefined) return context.skip(noChromium);
      await using window = await Window.open(browser, url);
      await window.go('/');
      await window.signIn(stateDir, persona);
      for (const { name, path, heading } of await everyPage(persona)) {
        await window.go(path);
        await window.heading(heading);
        await window.settled();
        expect(await window.page.getByText('cannot be read').count(), name).toBe(0);
      }
      expect(window.complaints).toEqual([]);
      const offered = await window.page.getByRole('navigation', { name: 'Pages' }).innerText();
      const seesHosts = persona === 'admin' || persona === 'manager';
      expect(offered.includes('Hosts')).toBe(seesHosts);
      expect(offered.includes('Unclaimed')).toBe(persona === 'admin');
    });
  }
});
