/** docs/getting-started.md as a new user does it: every command in order, what it shows compared. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { makeTempFolder } from '@cyborg/testing/embedded';
import { describe, it } from 'vitest';

import { Newcomer } from './newcomer.ts';
import { differenceFrom, readSession } from './session-page.ts';

const page = join(import.meta.dirname, '../../docs/getting-started.md');

describe('docs/getting-started.md', () => {
  it('shows what its commands show', { timeout: 600_000 }, async ({ expect }) => {
    using folder = makeTempFolder();
    await using newcomer = await Newcomer.come(folder.path);
    const steps = readSession(readFileSync(page, 'utf8'));
    expect(steps.length).toBeGreaterThan(15);
    for (const { command, expected } of steps) {
      const difference = await newcomer.differenceOf(command, (output) =>
        differenceFrom(expected, output),
      );
      expect(difference, command).toBe(undefined);
    }
  });
});
