/** One browser for a file of tests, and windows of it in which somebody is signed in. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, type TestContext } from 'vitest';

import { launch, scene, sceneOr, Window, type WindowOptions } from './browser.ts';
import { noChromium, type Persona } from './demo.ts';

/** A path of the console, or one in a window of its own size and theme. */
type Where = string | (WindowOptions & { readonly path: string });

export type OpenAs = (context: TestContext, persona: Persona, where: Where) => Promise<Window>;

/** To be called in a `describe`. */
export function useBrowser(): OpenAs {
  let browser: Browser | undefined;
  beforeAll(async () => {
    if (scene !== undefined) browser = await launch();
  });
  afterAll(async () => browser?.close());
  return async (context, persona, where) => {
    const { url, stateDir } = sceneOr(context);
    if (browser === undefined) return context.skip(noChromium);
    const { path, ...options } = typeof where === 'string' ? { path: where } : where;
    const window = await Window.open(browser, url, options);
    await window.go(path);
    await window.signIn(stateDir, persona);
    return window;
  };
}
