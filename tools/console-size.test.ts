/** What a browser has to fetch: measured on the build that the server serves. */
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { beforeAll, describe, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'apps/console/dist');

/** kB, packed. At the first measurement: 108 and 41 for the sign-in, 236 and 101 with the overview. */
const bounds = { signIn: { js: 125, css: 50 }, overview: { js: 270, css: 120 } } as const;

const kilobytes = (file: string): number => gzipSync(readFileSync(join(dist, file))).length / 1000;

function sum(files: Iterable<string>, ending: string): number {
  return [...files]
    .filter((file) => file.endsWith(ending))
    .reduce((total, file) => total + kilobytes(file), 0);
}

/** A file, and what it imports or has loaded beside it at once. */
function withImports(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  const text = readFileSync(join(dist, file), 'utf8');
  for (const [, name] of text.matchAll(/(?:from|import)\s*"\.\/([\w.-]+\.js)"/g)) {
    withImports(`assets/${name}`, found);
  }
  return found;
}

function chunkOf(name: string): string {
  const file = readdirSync(join(dist, 'assets')).find(
    (each) => each.startsWith(`${name}-`) && each.endsWith('.js'),
  );
  if (file === undefined) throw new Error(`the build has no ${name}`);
  return `assets/${file}`;
}

/** Styles that the entry's table of dependencies names for a chunk loaded later. */
function stylesBeside(chunks: ReadonlySet<string>): string[] {
  const styles = readdirSync(join(dist, 'assets')).filter((file) => file.endsWith('.css'));
  const stems = [...chunks].map((file) => file.replace(/^assets\/(.*)-[\w-]{8}\.js$/, '$1'));
  return styles
    .filter((file) => stems.includes(file.replace(/-[\w-]{8}\.css$/, '')))
    .map((file) => `assets/${file}`);
}

describe('the build', () => {
  beforeAll(() => {
    const built = spawnSync(process.execPath, [join(root, 'tools/build-console.js')], {
      encoding: 'utf8',
    });
    if (built.status !== 0) throw new Error(built.stderr);
  });

  it('has a small sign-in and a small first page', ({ expect }) => {
    const html = readFileSync(join(dist, 'index.html'), 'utf8');
    const named = [...html.matchAll(/(?:src|href)="\/console\/(assets\/[\w.-]+)"/g)].map(
      ([, file]) => file ?? '',
    );
    const scripts = new Set<string>();
    for (const file of named.filter((each) => each.endsWith('.js'))) withImports(file, scripts);
    const signIn = { js: sum(scripts, '.js'), css: sum(named, '.css') };
    expect(signIn.js).toBeGreaterThan(50);
    expect(signIn.js).toBeLessThan(bounds.signIn.js);
    expect(signIn.css).toBeLessThan(bounds.signIn.css);
    for (const chunk of ['pages', 'overview-page']) withImports(chunkOf(chunk), scripts);
    const css = sum(new Set([...named, ...stylesBeside(scripts)]), '.css');
    expect(sum(scripts, '.js')).toBeGreaterThan(signIn.js);
    expect(sum(scripts, '.js')).toBeLessThan(bounds.overview.js);
    expect(css).toBeLessThan(bounds.overview.css);
  });

  it('has nothing inline, and none of the server’s schemas', ({ expect }) => {
    const html = readFileSync(join(dist, 'index.html'), 'utf8');
    expect(html).not.toMatch(/<script(?![^>]*src=)|<style|style="|onload=/);
    const scripts = readdirSync(join(dist, 'assets')).filter((file) => file.endsWith('.js'));
    for (const file of scripts) {
      const text = readFileSync(join(dist, 'assets', file), 'utf8');
      expect(text.includes('~kind') || text.includes('typebox'), file).toBe(false);
    }
  });
});
