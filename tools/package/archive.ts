/** The same tree as tar.gz, for machines without dpkg and for containers. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import type { Build } from './deb.ts';
import type { Recipe } from './recipes.ts';

const files = join(import.meta.dirname, 'files');

/** Takes the tree away. @returns the file. */
export function writeArchive(recipe: Recipe, build: Build): string {
  const top = join(
    build.work,
    `${recipe.name}-${build.version}-${process.platform}-${process.arch}`,
  );
  renameSync(build.tree, top);
  for (const [name, text] of Object.entries(build.documents)) writeFileSync(join(top, name), text);
  if (recipe.unit !== undefined && recipe.environmentFile !== undefined) {
    mkdirSync(join(top, 'systemd'));
    for (const name of [recipe.unit, ...recipe.otherUnits, recipe.environmentFile]) {
      cpSync(join(files, name), join(top, 'systemd', name));
    }
  }
  const file = join(build.out, `${basename(top)}.tar.gz`);
  const args = [
    '--sort=name',
    `--mtime=@${build.epochSeconds}`,
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--format=gnu',
    '--use-compress-program=gzip -n -6',
    '-C',
    build.work,
    '-cf',
    file,
    basename(top),
  ];
  execFileSync('tar', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  return file;
}
