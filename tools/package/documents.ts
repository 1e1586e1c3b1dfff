/** Manual pages and README of a package. */
import { writeFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import type { Recipe } from './recipes.ts';

interface About {
  readonly version: string;
  readonly epochSeconds: number;
}

const firstSteps: Readonly<Record<string, readonly string[]>> = {
  'cyborg-server': [
    'runuser -u cyborg -- cyborg-server user-set admin --role admin --project admin --state-dir /var/lib/cyborg-server',
    'systemctl enable --now cyborg-server',
  ],
  'cyborg-agent': [
    'cyborg join-token-create --host "$(hostname)" -f value -c token > /etc/cyborg/join-token   # an administrator',
    'systemctl enable --now cyborg-agent',
  ],
  'cyborg-cli': [
    'export OS_AUTH_TYPE=http_basic OS_ENDPOINT=http://127.0.0.1:6680 OS_USERNAME=admin OS_PASSWORD=…',
    'cyborg host-list',
  ],
};

export function readmeOf(recipe: Recipe, { version }: About): string {
  const unit =
    recipe.unit === undefined
      ? []
      : [
          `Nothing is started by installing. \`${recipe.unit}\` reads \`/etc/cyborg/${recipe.environmentFile}\`.`,
          'From the archive: put this folder to `/usr/lib/' +
            recipe.name +
            '`, link its `bin/cyborg*` into',
          '`/usr/bin`, and copy `systemd/*.service` and `systemd/*.env` to `/etc/systemd/system` and `/etc/cyborg`.',
          'The server’s unit runs as the system user `cyborg`, which the Debian package makes.',
          '',
        ];
  return [
    `# ${recipe.debName} ${version}`,
    '',
    `Cyborg’s ${recipe.summary}, with Node and all that it needs; nothing is downloaded.`,
    '',
    ...unit,
    ...(firstSteps[recipe.name] ?? []).map((line) => `    ${line}`),
    '',
    '`copyright` has the licences of everything inside, `sbom.cdx.json` names it all (CycloneDX 1.6).',
    '',
  ].join('\n');
}

/** Section 8 for daemons and the debugger, 1 for the command line. */
export function writeManuals(folder: string, recipe: Recipe, about: About): void {
  const day = new Date(about.epochSeconds * 1000).toISOString().slice(0, 10);
  for (const program of Object.keys(recipe.programs)) {
    const section = program === 'cyborg' ? '1' : '8';
    const into = join(folder, `man${section}`);
    mkdirSync(into, { recursive: true });
    const text = manualOf(recipe, { program, section, day, version: about.version });
    // gzip's own header has no time here: the same text gives the same bytes.
    writeFileSync(join(into, `${program}.${section}.gz`), gzipSync(text, { level: 9 }));
  }
}

interface Manual {
  readonly program: string;
  readonly section: string;
  readonly day: string;
  readonly version: string;
}

function manualOf(recipe: Recipe, { program, section, day, version }: Manual): string {
  const name = program.replaceAll('-', '\\-');
  const files =
    recipe.unit === undefined
      ? []
      : [
          '.SH FILES',
          `.TP\n.I /etc/cyborg/${recipe.environmentFile}\nVariables for ${recipe.unit}.`,
          `.TP\n.I /var/lib/${recipe.name}\nState; removing the package leaves it.`,
        ];
  return [
    `.TH ${program.toUpperCase()} ${section} ${day} "Cyborg ${version}"`,
    '.SH NAME',
    `${name} \\- part of Cyborg, an accelerator control plane (${recipe.summary})`,
    '.SH SYNOPSIS',
    `.B ${name}`,
    '.RI [ command ] " " [ options ]',
    '.SH DESCRIPTION',
    `.B ${name} \\-\\-help`,
    'lists all commands and options, with their variables and defaults.',
    ...files,
    '',
  ].join('\n');
}
