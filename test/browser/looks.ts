/** Themes and widths in which pages and dialogs are looked at, and where pictures of them go. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import type { Page } from 'playwright-core';

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
