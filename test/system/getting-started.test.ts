/** docs/getting-started.md as a new user does it: every command in order, what it shows compared. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { makeTempFolder } from '@cyborg/testing/embedded';
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { Newcomer } from './newcomer.ts';
import { differenceFrom, readSession } from './session-page.ts';

const page = join(import.meta.dirname, '../../docs/getting-started.md');
/** On a busy machine an agent that was just started has not looked at its cards yet, and events wait for their numbers. */
const lookedMs = 60_000;
const onlyLooks = /^bin\/cyborg(-inspect| [a-z]+-(list|show)) /;

describe('docs/getting-started.md', () => {
  it('shows what its commands show', { timeout: 600_000 }, async ({ expect }) => {
    using folder = makeTempFolder();
    await using newcomer = await Newcomer.come(folder.path);
    const steps = readSession(readFileSync(page, 'utf8'));
    expect(steps.length).toBeGreaterThan(15);
    for (const { command, expected } of steps) {
      let difference = differenceFrom(expected, await newcomer.do(command));
      if (difference !== undefined && onlyLooks.test(command)) {
        const agrees = async (): Promise<boolean> => {
          difference = differenceFrom(expected, await newcomer.do(command));
          return difference === undefined;
        };
        await eventually(agrees, {
          timeoutMs: lookedMs,
          what: command,
          context: () => difference ?? '',
        });
      }
      expect(difference, command).toBe(undefined);
    }
  });
});
