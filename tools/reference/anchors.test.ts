/** Links from one page to a heading of another, as GitHub names headings. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { describe, it } from 'vitest';

import { anchorsOf } from './anchors.ts';

const root = join(import.meta.dirname, '../..');
const pages = globSync(['*.md', 'docs/**/*.md', 'drivers/*/README.md', 'labs/*/README.md'], {
  cwd: root,
});
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

describe('links to headings', () => {
  it.for(pages)('of %s lead to headings that are there', (page, { expect }) => {
    const broken = [...read(page).matchAll(/\]\((?!https?:)([^)#\s]*\.md)?#([^)\s]+)\)/g)].filter(
      ([, file, anchor = '']) => {
        const target = file === undefined ? page : join(dirname(page), file);
        return !anchorsOf(read(target)).has(anchor);
      },
    );
    expect(broken.map(([link]) => link)).toEqual([]);
  });

  it('are named as GitHub does', ({ expect }) => {
    const page = '# A `b-c`, d!\n```\n# no heading\n```\n## Two\n## Two\n';
    expect([...anchorsOf(page)]).toEqual(['a-b-c-d', 'two', 'two-1']);
  });
});
