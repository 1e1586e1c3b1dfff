import { describe, expect, it } from 'vitest';

import { catalogue } from './catalogue.ts';
import { overview } from './help.ts';
import { helpOf } from './parse.ts';

describe('help', () => {
  it('lists every command', async () => {
    const names = Object.keys(catalogue);
    const listed = [...overview().matchAll(/^ {2}([a-z-]+) {2}/gm)].map(([, name]) => name);
    expect(new Set(listed)).toEqual(new Set(names));
    await expect(overview()).toMatchFileSnapshot('../help/cyborg.txt');
  });

  it.each(Object.keys(catalogue))('of %s is as the file says, with an example', async (name) => {
    const entry = catalogue[name];
    const command = await entry?.load();
    if (entry === undefined || command === undefined) throw new Error('unreachable');
    expect(command.examples.length).toBeGreaterThan(0);
    for (const example of command.examples) expect(example.command).toContain(`cyborg ${name}`);
    // Whatever changes something can be rehearsed.
    expect('dryRun' in command.flags, '--dry-run').toBe(command.changes === true);
    const help = helpOf({ name, summary: entry.summary, command });
    await expect(help).toMatchFileSnapshot(`../help/${name}.txt`);
  });
});
