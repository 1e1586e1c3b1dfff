/** A Debian package out of a tree: dpkg-deb does the work. */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { writeManuals } from './documents.ts';
import type { Recipe } from './recipes.ts';

const files = join(import.meta.dirname, 'files');

export interface Build {
  readonly version: string;
  readonly epochSeconds: number;
  /** Folder that is ours to fill. */
  readonly work: string;
  /** Where the finished file goes. */
  readonly out: string;
  /** The tree that becomes /usr/lib/NAME. */
  readonly tree: string;
  /** Name and text of what is said about it: copyright, README.md, sbom.cdx.json. */
  readonly documents: Readonly<Record<string, string>>;
}

export function debianArchitecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch;
}

/** @returns the file. */
export function writeDeb(recipe: Recipe, build: Build): string {
  const root = join(build.work, `${recipe.name}.deb-root`);
  const lib = join(root, 'usr/lib', recipe.name);
  mkdirSync(dirname(lib), { recursive: true });
  cpSync(build.tree, lib, { recursive: true, verbatimSymlinks: true });
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  for (const program of Object.keys(recipe.programs)) {
    symlinkSync(`../lib/${recipe.name}/bin/${program}`, join(root, 'usr/bin', program));
  }
  const doc = join(root, 'usr/share/doc', recipe.debName);
  mkdirSync(doc, { recursive: true });
  for (const [name, text] of Object.entries(build.documents)) writeFileSync(join(doc, name), text);
  writeManuals(join(root, 'usr/share/man'), recipe, build);
  placeUnits(root, recipe);
  writeControl(root, recipe, build);
  const file = join(build.out, `${recipe.debName}_${build.version}_${debianArchitecture()}.deb`);
  // gzip: xz of Node takes a minute a package; zstd is unknown to Debian 11.
  const args = ['--root-owner-group', '-Zgzip', '-z6', '--build', root, file];
  execFileSync('dpkg-deb', args, {
    env: { ...process.env, SOURCE_DATE_EPOCH: String(build.epochSeconds) },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return file;
}

function placeUnits(root: string, { unit, otherUnits, environmentFile }: Recipe): void {
  if (unit === undefined || environmentFile === undefined) return;
  const units = join(root, 'usr/lib/systemd/system');
  const etc = join(root, 'etc/cyborg');
  mkdirSync(units, { recursive: true });
  mkdirSync(etc, { recursive: true });
  for (const name of [unit, ...otherUnits]) {
    cpSync(join(files, name), join(units, name));
    chmodSync(join(units, name), 0o644);
  }
  cpSync(join(files, environmentFile), join(etc, environmentFile));
  // It may hold a database's password; systemd reads it as root.
  chmodSync(join(etc, environmentFile), 0o600);
}

function writeControl(root: string, recipe: Recipe, { version }: Build): void {
  const folder = join(root, 'DEBIAN');
  mkdirSync(folder);
  const optional = (field: string, value: string | undefined): string[] =>
    value === undefined ? [] : [`${field}: ${value}`];
  const control = [
    `Package: ${recipe.debName}`,
    `Version: ${version}`,
    `Architecture: ${debianArchitecture()}`,
    'Maintainer: The Cyborg contributors <cyborg@localhost.invalid>',
    'Section: admin',
    'Priority: optional',
    `Depends: ${recipe.depends}`,
    ...optional('Recommends', recipe.recommends),
    ...optional('Conflicts', recipe.conflicts),
    `Description: accelerator control plane: ${recipe.summary}`,
    ' Cyborg finds the hardware accelerators of every host, keeps one ledger of who',
    ' holds which, and attaches and detaches them to running instances.',
    ' .',
    ' Self-contained: Node and every npm package that it needs are inside.',
    '',
  ].join('\n');
  writeFileSync(join(folder, 'control'), control);
  if (recipe.environmentFile !== undefined) {
    writeFileSync(join(folder, 'conffiles'), `/etc/cyborg/${recipe.environmentFile}\n`);
  }
  if (recipe.unit === undefined) return;
  for (const [name, lines] of Object.entries(maintainerScripts(recipe, recipe.unit))) {
    writeFileSync(join(folder, name), ['#!/bin/sh', 'set -e', ...lines, ''].join('\n'));
    chmodSync(join(folder, name), 0o755);
  }
}

const ifSystemd = (command: string): string => `if [ -d /run/systemd/system ]; then ${command}; fi`;

/** Installing enables and starts nothing; an upgrade restarts what runs; removing stops it and leaves its state. */
function maintainerScripts(recipe: Recipe, unit: string): Record<string, string[]> {
  const user =
    recipe.name === 'cyborg-server'
      ? [
          '  adduser --system --group --quiet --home /var/lib/cyborg-server --no-create-home cyborg',
          '  install -d -m 0700 -o cyborg -g cyborg /var/lib/cyborg-server',
        ]
      : [];
  const units = [unit, ...recipe.otherUnits].join(' ');
  return {
    postinst: [
      'if [ "$1" = configure ]; then',
      ...user,
      `  ${ifSystemd('systemctl daemon-reload')}`,
      `  if [ -n "$2" ]; then ${ifSystemd(`systemctl try-restart ${unit} || true`)}; fi`,
      'fi',
    ],
    prerm: [
      'if [ "$1" = remove ]; then',
      `  ${ifSystemd(`systemctl --no-reload disable --now ${units} || true`)}`,
      'fi',
    ],
    postrm: [
      ifSystemd('systemctl daemon-reload || true'),
      'if [ "$1" = purge ]; then',
      `  if [ -d /var/lib/${recipe.name} ]; then`,
      `    echo "/var/lib/${recipe.name} (state) is kept; remove it by hand when nobody needs it." >&2`,
      '  fi',
      'fi',
    ],
  };
}
