/** Signing in and out, and what the browser keeps of it. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { launch, scene, sceneOr, Window } from './browser.ts';
import { noChromium } from './demo.ts';

describe('signing in', () => {
  let browser: Browser | undefined;
  beforeAll(async () => {
    if (scene !== undefined) browser = await launch();
  });
  afterAll(async () => browser?.close());

  it('refuses a wrong password in words, and takes the right one', async (context) => {
    const { expect } = context;
    const { url, stateDir } = sceneOr(context);
    if (browser === undefined) return context.skip(noChromium);
    await using window = await Window.open(browser, url);
    const { page } = window;
    await page.goto(`${url}/`);
    expect(page.url()).toBe(`${url}/console/`);
    await page.getByLabel('User').fill('admin');
    await page.getByLabel('Password').fill('wrong');
    await page.getByLabel('Password').press('Enter');
    await page.getByText('Name or password is wrong').waitFor();
    await window.signIn(stateDir, 'admin');
    await window.heading('Overview');
  });

  it('lasts over a reload and to a deep link, keeps nothing for scripts, and ends', async (context) => {
    const { expect } = context;
    const { url, stateDir } = sceneOr(context);
    if (browser === undefined) return context.skip(noChromium);
    await using window = await Window.open(browser, url);
    const { page } = window;
    await window.go('/accelerators?type=GPU');
    await window.signIn(stateDir, 'member');
    await window.heading('Accelerators');
    await page.reload();
    await window.heading('Accelerators');
    expect(page.url()).toContain('type=GPU');
    const [cookie, ...others] = await page.context().cookies();
    expect(others).toEqual([]);
    expect(cookie).toMatchObject({
      name: 'cyborg-session',
      httpOnly: true,
      sameSite: 'Strict',
      expires: -1,
    });
    const kept = await page.evaluate(
      '[document.cookie, localStorage.length, sessionStorage.length]',
    );
    expect(kept).toEqual(['', 0, 0]);
    await page.getByRole('button', { name: 'member' }).click();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in to Cyborg' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'Sign in to Cyborg' }).waitFor();
    expect(await page.context().cookies()).toEqual([]);
  });
});
