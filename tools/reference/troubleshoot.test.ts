/** docs/how-to/troubleshoot.md quotes what the programs say: its first columns must be found in their code. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, it } from 'vitest';

import { eventKinds } from '../../packages/model/src/event-kinds.ts';

const root = join(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/how-to/troubleshoot.md'), 'utf8');

/** Sentences that are broken over lines in the code are put together; what is put in reads `…`. */
function wordsOfTheCode(): string {
  const files = globSync(['{apps,packages,drivers}/**/*.{ts,tsx}'], {
    cwd: root,
    exclude: (path) => path.includes('node_modules') || path.endsWith('dist'),
  }).filter((path) => !/\.test\.tsx?$|\/test\//.test(path));
  return files
    .map((path) => readFileSync(join(root, path), 'utf8'))
    .join('\n')
    .replaceAll(/['"`]\s*\+\s*['"`]/g, '')
    .replaceAll(/\$\{[^}]*\}/g, '…')
    .replaceAll("\\'", "'");
}

/** Of at least two words: what is a name, other tests look at. */
function quotedSymptoms(): string[] {
  const symptoms = [...page.matchAll(/^\| ([^|]+) \|/gm)].map(([, cell = '']) => cell);
  return symptoms
    .flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text))
    .filter((text) => text.includes(' ') && !text.startsWith('cyborg'));
}

describe('docs/how-to/troubleshoot.md', () => {
  const code = wordsOfTheCode();

  it.for(quotedSymptoms())('quotes the code: %s', (symptom, { expect }) => {
    const parts = symptom.split('…').map((part) => part.trim());
    expect(parts.filter((part) => !code.includes(part))).toEqual([]);
  });

  it('names kinds of events that there are', ({ expect }) => {
    const nouns = new Set(eventKinds.map((kind) => kind.split('.')[0]));
    const named = [...page.matchAll(/`(([a-z]+)\.[a-z_-]+)`/g)].flatMap(
      ([, kind = '', noun = '']) => (nouns.has(noun) ? [kind] : []),
    );
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((kind) => !eventKinds.includes(kind))).toEqual([]);
  });

  it('quotes enough to be of use', ({ expect }) => {
    expect(quotedSymptoms().length).toBeGreaterThan(30);
  });
});
