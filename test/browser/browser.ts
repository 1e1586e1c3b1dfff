/** A window of Chromium on the console: signed in, watched for errors, looked at by axe. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { chromium, type Browser, type Locator, type Page } from 'playwright-core';
import { inject, type TestContext } from 'vitest';

import { findChromium, loginOf, noChromium, type Persona } from './demo.ts';
import type { BrowserScene } from './setup.ts';

const actMs = 60_000;

export const scene: BrowserScene | undefined = inject('scene');

/** @throws when there is no browser: the test is skipped with the reason. */
export function sceneOr(context: TestContext): BrowserScene {
  if (scene === undefined) return context.skip(noChromium);
  return scene;
}

export async function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: findChromium() ?? '',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
}

export interface WindowOptions {
  readonly width?: number;
  readonly height?: number;
  readonly theme?: 'light' | 'dark';
}

export class Window implements AsyncDisposable {
  readonly page: Page;
  readonly #url: string;
  /** What the browser complains of: errors of scripts, breaches of the Content-Security-Policy. */
  readonly complaints: string[] = [];

  private constructor(page: Page, url: string) {
    this.page = page;
    this.#url = url;
    page.setDefaultTimeout(actMs);
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('console', (message) => {
      // A refusal that the page shows is an error to the browser's own log as well.
      const isRefusal = message.text().startsWith('Failed to load resource');
      if (message.type() === 'error' && !isRefusal) this.complaints.push(message.text());
    });
  }

  static async open(
    browser: Browser,
    url: string,
    { width = 1400, height = 900, theme = 'light' }: WindowOptions = {},
  ): Promise<Window> {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme });
    return new Window(await context.newPage(), url);
  }

  /** `/hosts/demo-gpu`: a page of the console, as if typed into the address bar. */
  async go(path: string): Promise<void> {
    await this.page.goto(`${this.#url}/console${path}`);
  }

  async signIn(stateDir: string, persona: Persona): Promise<void> {
    const { user, password } = loginOf(stateDir, persona);
    await this.page.getByLabel('User').fill(user);
    await this.page.getByLabel('Password').fill(password);
    await this.page.getByRole('button', { name: 'Sign in' }).click();
    await this.page.getByRole('banner').waitFor();
  }

  async heading(name: string | RegExp): Promise<void> {
    await this.page.getByRole('heading', { level: 1, name }).waitFor();
  }

  /** Until nothing is being read any more. */
  async settled(): Promise<void> {
    await this.page.getByRole('heading', { level: 1 }).first().waitFor();
    await this.page
      .locator('[aria-label^="Reading "], .pf-v6-c-spinner')
      .first()
      .waitFor({ state: 'detached' });
    await this.page.locator('[data-connection="live"]').first().waitFor({ state: 'attached' });
  }

  /** What axe calls serious or critical, when nothing fades in any more: half faded in is half the contrast. */
  async violations(): Promise<string[]> {
    await atRest(this.page);
    await this.page.evaluate(axeSource);
    const found: unknown = await this.page.evaluate(runAxe);
    return Array.isArray(found) ? found.map(String) : [`axe said ${JSON.stringify(found)}`];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close();
  }
}

/** Until the transitions and animations under way are through, but for those that never end. */
async function atRest(page: Page): Promise<void> {
  await page.evaluate(`Promise.allSettled(document.getAnimations()
    .filter(({ playState, effect }) =>
      playState === 'running' && effect.getComputedTiming().endTime !== Infinity)
    .map(({ finished }) => finished))`);
}

const axeSource = readFileSync(
  createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
  'utf8',
);

const runAxe = `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
  violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, help, nodes }) => nodes.map(({ html }) => id + ': ' + help + ' ' + html.slice(0, 200))))`;

/** Until the button is shown and says that it is not for this person. */
export async function closedTo(button: Locator): Promise<void> {
  await button.and(button.page().locator('[aria-disabled="true"]')).waitFor();
}

/** A dialog's act, when the server has said that it can be done; until the dialog is gone, for which another may have come. */
export async function confirm(page: Page, verb: string): Promise<void> {
  const dialog = page.getByRole('dialog');
  await dialog.getByText('What will happen').waitFor();
  const name = (await dialog.getAttribute('aria-label')) ?? '';
  await dialog.getByRole('button', { name: verb, exact: true }).click();
  const done = page.getByRole('dialog', { name, exact: true });
  await done.waitFor({ state: 'detached' }).catch(async (error: unknown) => {
    const said = await done.allInnerTexts();
    throw new Error(`The dialog is still there: ${said.join(' ')}`, { cause: error });
  });
}
