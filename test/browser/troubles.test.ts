/** What the pages say of a driver that dies and of a host that lacks something: what is wrong, and what a person must do. */
import type { V3Client, V3Result } from '@cyborg/api-client/v3';
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { acmeHost as host, installAcme } from './acme.ts';
import { confirm, sceneOr } from './browser.ts';
import { clientOf } from './demo.ts';
import { takePicture } from './looks.ts';
import { useBrowser } from './windows.ts';

/** Five deaths with the pauses between them. */
const quarantineMs = 240_000;
const settleMs = 180_000;
const whole = `${host}@acme`;
const params = { driver_id: 'acme' };
const look = { theme: 'light', width: 1400 } as const;

const diesOfThirteen = (program: string): string =>
  program.replace(
    'def discover(self, params):',
    `def discover(self, params):
        if self.config_of(params)["count"] == 13:
            print("thirteen is too many", file=sys.stderr, flush=True)
            os._exit(3)`,
  );

/** What the server is told comes first: a page that does not say it is another fault than a host that does not. */
async function untilSays(v3: V3Client, state: string, reason: RegExp): Promise<void> {
  let last: Partial<V3Result<'showBackend'>> = {};
  await eventually(
    async () => {
      last = await v3.showBackend({ params: { backend: whole } });
      return last.state === state && reason.test(last.reason ?? '');
    },
    {
      timeoutMs: quarantineMs,
      what: `backend ${whole} is ${state}`,
      context: () => JSON.stringify(last, null, 1),
      pauseMs: 250,
    },
  );
}

describe('the pages', () => {
  const openAs = useBrowser();

  it('say of a driver that keeps dying what it said last and what to do, until it serves again', async (context) => {
    const { expect } = context;
    const scene = sceneOr(context);
    const v3 = clientOf(scene, 'admin');
    await using _acme = await installAcme(scene, v3, { version: '3.0.0', edit: diesOfThirteen });
    await using window = await openAs(context, 'admin', `/backends/${whole}`);
    const { page } = window;
    await window.heading(whole);
    await page.getByText('ready', { exact: true }).first().waitFor({ timeout: settleMs });

    // Nobody asks the page to look: it hears of it.
    const backends = [{ name: 'acme', config: { count: 13 } }];
    await v3.updateDriver({ params, body: { backends } });
    await untilSays(v3, 'failed', /^quarantined /);
    const trouble = 'Its driver keeps dying, and is not started again by itself';
    await page.getByText(trouble).waitFor();
    await page.getByText('have it started once more with Restart').waitFor();
    const lastWords = page.getByLabel('Its last words');
    await eventually(
      async () => {
        await page.getByRole('button', { name: 'Read again' }).click();
        return (await lastWords.getByText('quarantined after').count()) > 0;
      },
      { timeoutMs: settleMs, what: 'its last words are there', pauseMs: 500 },
    );
    const log = page.getByRole('table', { name: 'What its driver says' });
    await log.getByText('thirteen is too many').first().waitFor();
    await takePicture(page, { name: 'backend-quarantined', ...look });
    expect(await window.violations()).toEqual([]);

    await window.go('/');
    await page.getByText('has a driver that fails: look at its last lines').waitFor();
    await window.go(`/hosts/${host}`);
    const there = page.getByRole('table', { name: 'Its backends' });
    await there.getByText(trouble).waitFor();

    await window.go('/drivers/acme');
    await page.getByRole('table', { name: 'Its backends on hosts' }).getByText(trouble).waitFor();
    await page.getByRole('button', { name: 'Configure' }).click();
    await page.getByLabel('Configuration, as JSON').fill('{"count": 2}');
    await confirm(page, 'Save');
    await page.getByText('Nothing: it serves.').waitFor({ timeout: settleMs });
    await window.go(`/backends/${whole}`);
    await page.getByText('ready', { exact: true }).first().waitFor({ timeout: settleMs });
    await page.getByText(trouble).waitFor({ state: 'detached' });
    expect(window.complaints).toEqual([]);
  });

  it('say of a host that lacks what a driver needs what somebody must do there', async (context) => {
    const { expect } = context;
    const scene = sceneOr(context);
    const v3 = clientOf(scene, 'admin');
    const needs = { modules: ['acme_card'] };
    await using _acme = await installAcme(scene, v3, { version: '4.0.0', needs });
    await using window = await openAs(context, 'admin', `/hosts/${host}`);
    const { page } = window;
    await untilSays(v3, 'blocked', /acme_card/);
    await page.getByText('Somebody must prepare this host').first().waitFor();
    await page.getByText('backend acme: load the kernel module acme_card').first().waitFor();
    await takePicture(page, { name: 'host-blocked', ...look });
    expect(await window.violations()).toEqual([]);
    await window.go(`/backends/${whole}`);
    await page.getByText('It cannot begin before somebody has prepared its host').waitFor();
    await window.go('/drivers/acme');
    await page
      .getByRole('table', { name: 'Kinds of backend' })
      .getByText('kernel module acme_card')
      .waitFor();
    await window.go('/');
    await page.getByText('waits for somebody to prepare its host').waitFor();
    expect(window.complaints).toEqual([]);
  });
});
