/** Themes and widths in which pages and dialogs are looked at, and where pictures of them go. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import type { Page } from 'playwright-core';

import type { Window } from './browser.ts';

/** A folder for pictures: `npm run screenshots`. */
const pictures = process.env['CYBORG_SCREENSHOTS'];

export const looks = [
  { theme: 'light', width: 1400 },
  { theme: 'dark', width: 1400 },
  { theme: 'light', width: 420 },
  // Nothing depends on both: this one is for the pictures.
  ...(pictures === undefined ? [] : [{ theme: 'dark', width: 420 } as const]),
] as const;

export interface Picture {
  readonly name: string;
  readonly theme: string;
  readonly width: number;
}

/** Only where pictures are wanted. */
export async function takePicture(page: Page, { name, theme, width }: Picture): Promise<void> {
  if (pictures === undefined) return;
  mkdirSync(pictures, { recursive: true });
  const path = join(pictures, `${name}-${width}-${theme}.png`);
  await page.screenshot({ path, animations: 'disabled' });
}

type Look = (typeof looks)[number] & { readonly height: number };

export interface Looked {
  readonly name: string;
  /** What is there to be seen, and the same with the dialog that this opens. */
  readonly press: (page: Page) => Promise<unknown>;
}

/** A window of its own in each look, without and with a dialog: what axe calls serious; pictures where they are wanted. */
export async function faultsInLooks(
  open: (look: Look) => Promise<Window>,
  { name, press }: Looked,
): Promise<string[]> {
  const faults: string[] = [];
  for (const look of looks) {
    await using window = await open({ ...look, height: 1100 });
    const { page } = window;
    await window.settled();
    await takePicture(page, { ...look, name });
    const ofPage = await window.violations();
    await press(page);
    await page.getByRole('dialog').getByText('What will happen').waitFor();
    await takePicture(page, { ...look, name: `dialog-${name}` });
    const ofDialog = await window.violations();
    const found = [...ofPage, ...ofDialog, ...window.complaints];
    faults.push(...found.map((fault) => `${look.theme}, ${look.width} wide: ${fault}`));
  }
  return faults;
}
