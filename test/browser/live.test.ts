/** A fleet of its own, so that its server can be stopped while somebody looks. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { makeTempFolder } from '@cyborg/testing/embedded';
import { describe, it } from 'vitest';

import { launch, Window } from './browser.ts';
import { clientOf, Demo, findChromium, noChromium } from './demo.ts';

describe('the live connection', () => {
  it('is lost when the server stops, heals when it is back, and shows what was missed', async (context) => {
    const { expect } = context;
    if (findChromium() === undefined) return context.skip(noChromium);
    using folder = makeTempFolder();
    mkdirSync(join(folder.path, 'home'));
    await using demo = await Demo.open(join(folder.path, 'state'), join(folder.path, 'home'));
    await demo.start();
    const browser = await launch();
    try {
      await using window = await Window.open(browser, demo.url);
      await window.go('/accelerators?host=demo-gpu&type=GPU');
      await window.signIn(demo.stateDir, 'admin');
      await window.settled();
      const { page } = window;
      const v3 = clientOf({ url: demo.url, stateDir: demo.stateDir }, 'admin');
      const { items } = await v3.listEvents({ query: { order: 'newest', limit: 1 } });
      const after = items[0]?.number ?? 0;
      const requests: string[] = [];
      page.on('request', (request) => requests.push(new URL(request.url()).pathname));

      // Somebody else's change is shown without a reload, by one reading of the list for it and whatever else happened.
      const query = { host: 'demo-gpu', type: 'GPU', state: 'available' };
      const [gpu] = (await v3.listAccelerators({ query })).items;
      const id = gpu?.id ?? '';
      await v3.updateAccelerator({ params: { id }, body: { state: 'withheld', reason: 'first' } });
      await page.getByText('first').waitFor();
      const readings = requests.filter((path) => path === '/v3/accelerators').length;
      const happened = (await v3.listEvents({ query: { after } })).items.length;
      expect(readings).toBeLessThanOrEqual(1 + happened);

      await demo.stop();
      await page.locator('[data-connection="lost"]').waitFor();
      await page.getByText('Not live').waitFor();
      await demo.start();
      const again = clientOf({ url: demo.url, stateDir: demo.stateDir }, 'admin');
      await again.updateAccelerator({
        params: { id },
        body: { state: 'withheld', reason: 'second' },
      });
      await page.locator('[data-connection="live"]').waitFor({ timeout: 120_000 });
      await page.getByText('second').waitFor();
      // Nothing was asked for in a hurry while there was nobody to ask.
      expect(requests.filter((path) => path === '/v3/events').length).toBeLessThan(60);
    } finally {
      await browser.close();
    }
  });
});
