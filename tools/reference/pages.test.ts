import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

import { describe, it } from 'vitest';

import { pages } from './pages.ts';

const all = await pages();

describe('the reference pages', () => {
  it.for(all)('are made of this code: $file', ({ file, text }, { expect }) => {
    expect(readFileSync(file, 'utf8'), 'run: npm run generate').toBe(text);
  });

  it.for(all)('link only to headings that they have: $file', ({ text }, { expect }) => {
    const anchors = new Set(
      [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
        title
          .toLowerCase()
          .replaceAll(/[^a-z0-9 _-]/g, '')
          .replaceAll(' ', '-'),
      ),
    );
    const wanted = [...text.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor = '']) => anchor);
    expect(wanted.filter((anchor) => !anchors.has(anchor))).toEqual([]);
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
