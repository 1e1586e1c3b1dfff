import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

import { describe, it } from 'vitest';

import { pages } from './pages.ts';

const all = await pages();

describe('the reference pages', () => {
  it.for(all)('are made of this code: $file', ({ file, text }, { expect }) => {
    expect(readFileSync(file, 'utf8'), 'run: npm run generate').toBe(text);
  });

  it('say something of everything', ({ expect }) => {
    expect(all.map(({ file }) => basename(file))).toEqual([
      'api.md',
      'cli.md',
      'configuration.md',
      'agent-configuration.md',
    ]);
    for (const { text } of all) expect(text).not.toMatch(/undefined|\[object/);
  });
});
