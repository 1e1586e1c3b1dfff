/** The licences of everything inside, as one text: ours, then each part's with its own words. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import type { LockedPackage } from './closure.ts';

const rule = '='.repeat(78);

export function copyrightOf(root: string, packages: readonly LockedPackage[]): string {
  const own = readFileSync(join(root, 'LICENSE'), 'utf8');
  const parts = packages
    .filter(({ isOurs }) => !isOurs)
    .map((one) => {
      const head = `${one.name} ${one.version} (${one.license})`;
      return `${rule}\n${head}\n${rule}\n\n${textsOf(join(root, one.place))}`;
    });
  return [`Cyborg\n\n${own}`, ...parts].join('\n');
}

function textsOf(folder: string): string {
  const names = existsSync(folder) ? readdirSync(folder).toSorted() : [];
  const texts = names
    .filter((name) => /^(licen[cs]e|copying|notice)/i.test(name))
    .map((name) => readFileSync(join(folder, name), 'utf8').trimEnd());
  if (texts.length === 0) return 'The package carries no text of its licence; it names it only.\n';
  return `${texts.join('\n\n')}\n`;
}
