/** `npm run package`: a .deb and a tar.gz each of server, agent and command line, into `packages-built/` or `--out DIR`. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { buildSdk } from '../../packages/driver-sdk/src/build.ts';
import { writeArchive } from './archive.ts';
import { closureOf, readLock } from './closure.ts';
import { writeDeb, type Build } from './deb.ts';
import { readmeOf } from './documents.ts';
import { copyrightOf } from './licences.ts';
import { recipes, type Recipe } from './recipes.ts';
import { sbomOf } from './sbom.ts';
import { writeTree } from './tree.ts';

const root = join(import.meta.dirname, '../..');

export interface Request {
  readonly out: string;
  readonly only?: readonly string[] | undefined;
}

/** @returns the files, in the order of the recipes. */
export function buildPackages({ out, only }: Request): string[] {
  process.umask(0o022);
  buildSdk();
  const manifest: { version: string } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  );
  const about = { version: manifest.version, epochSeconds: sourceDateSeconds() };
  mkdirSync(out, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), 'cyborg-package-'));
  try {
    return recipes
      .filter(({ name }) => only === undefined || only.includes(name))
      .flatMap((recipe) => buildOne(recipe, { ...about, work, out }));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function buildOne(recipe: Recipe, place: Omit<Build, 'tree' | 'documents'>): string[] {
  const lock = readLock(root);
  const packages = closureOf(lock, recipe);
  const node = `node_modules/node-${process.platform}-${process.arch}`;
  const inside = closureOf(lock, {
    ...recipe,
    workspaces: [...recipe.workspaces, ...recipe.bundled, node],
  });
  const tree = join(place.work, recipe.name);
  writeTree(tree, recipe, { root, packages });
  const documents = {
    copyright: copyrightOf(root, inside),
    'README.md': readmeOf(recipe, place),
    'sbom.cdx.json': sbomOf(recipe, { ...place, packages: inside }),
  };
  const build = { ...place, tree, documents };
  const files = [writeDeb(recipe, build), writeArchive(recipe, build)];
  rmSync(join(place.work, `${recipe.name}.deb-root`), { recursive: true });
  return files;
}

/** SOURCE_DATE_EPOCH, else the time of the last commit: the same commit gives the same bytes. */
function sourceDateSeconds(): number {
  const given = process.env['SOURCE_DATE_EPOCH'];
  const text =
    given ?? execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' });
  const seconds = Number(text.trim());
  if (Number.isSafeInteger(seconds) && seconds > 0) return seconds;
  throw new Error(`SOURCE_DATE_EPOCH is ${JSON.stringify(text)}: give seconds since 1970.`);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: 'packages-built' },
      only: { type: 'string', multiple: true },
    },
  });
  for (const file of buildPackages({ out: resolve(values.out), only: values.only })) {
    const mib = (statSync(file).size / 1024 / 1024).toFixed(1);
    console.log(`${relative(process.cwd(), file)}  ${mib} MiB`);
  }
}
