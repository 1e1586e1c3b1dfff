/** The first session of the README as a new user does it, with a real guest. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

import { makeTempFolder } from '@cyborg/testing/embedded';
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { Newcomer } from '../system/newcomer.ts';
import { differenceFrom, readSession, type Step } from '../system/session-page.ts';
import { guardGuests } from './guest-guard.ts';

const readme = join(import.meta.dirname, '../../README.md');
/** A busy machine's guest takes longer to say what it sees than the `sleep` of the page. */
const guestMs = 180_000;

function firstSession(): Step[] {
  const text = readFileSync(readme, 'utf8');
  const [, section = ''] = /^## A first session\n([^]*?)^## /m.exec(text) ?? [];
  return readSession(section);
}

describe.skipIf(guardGuests() !== null)('the first session of the README', () => {
  it('shows what its commands show', { timeout: 900_000 }, async ({ expect }) => {
    using folder = makeTempFolder();
    await using newcomer = await Newcomer.come(folder.path);
    await newcomer.do('npm start');
    await using stack = new AsyncDisposableStack();
    stack.defer(async () => {
      await newcomer.do('labs/guest/run --stop --name demo --qmp-dir ~/.local/state/cyborg/qmp');
    });
    /** The page was written on a machine called `vm`; another has more hardware. */
    const differ = async ({ command, expected }: Step): Promise<string | undefined> =>
      await newcomer.differenceOf(command, (output) =>
        differenceFrom(expected, output.replaceAll(hostname(), 'vm'), { hasMoreRows: true }),
      );
    /** The guest looks at one thing after the other: what changes meanwhile it says in another order. */
    const differOnConsole = async ({ command, expected }: Step): Promise<string | undefined> => {
      const said = (await newcomer.do(command)).trim().split('\n').toSorted();
      return differenceFrom(expected.filter(Boolean).toSorted(), said.join('\n'));
    };
    const steps = firstSession();
    expect(steps.length).toBeGreaterThan(12);
    for (const step of steps) {
      let last: string | undefined;
      const isAskedAgain = step.command.startsWith('sleep ');
      const difference = isAskedAgain
        ? await eventually(async () => (last = await differOnConsole(step)) === undefined, {
            timeoutMs: guestMs,
            what: step.command,
            context: () => last ?? '',
          }).then(() => undefined)
        : await differ(step);
      expect(difference, step.command).toBe(undefined);
    }
  });
});
