/** Rules about the tree itself; each failure says what to do instead. */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { describe, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Tracked and new files; in a tarball without git, everything outside node_modules. */
function sourceFiles(): string[] {
  try {
    const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
      cwd: root,
      encoding: 'utf8',
    });
    return listed.split('\n').filter((path) => path !== '' && existsSync(join(root, path)));
  } catch {
    return globSync('**/*.{ts,js,json,md,sh}', { cwd: root }).filter(
      (path) => !path.includes('node_modules'),
    );
  }
}

const files = sourceFiles();
const code = files.filter((path) => /\.(ts|tsx|js)$/.test(path));
const isTest = (path: string): boolean =>
  path.endsWith('.test.ts') ||
  /^((apps|packages)\/[^/]+\/)?test\//.test(path) ||
  path.startsWith('packages/testing/');

interface Manifest {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

function manifests(): { folder: string; manifest: Manifest }[] {
  return globSync('{apps,packages,drivers}/*/package.json', { cwd: root }).map((path) => ({
    folder: dirname(path),
    manifest: JSON.parse(read(path)) as Manifest,
  }));
}

describe('the tree', () => {
  it('imports only along the arrows of ARCHITECTURE.md', ({ expect }) => {
    const table = new Map(
      [...read('ARCHITECTURE.md').matchAll(/^\| ([a-z*/-]+) \| ([^|]*) \|$/gm)].map((row) => [
        row[1] ?? '',
        (row[2] ?? '').split(',').map((name) => name.trim()),
      ]),
    );
    expect(
      table.size,
      'the table "package | may import" is missing in ARCHITECTURE.md',
    ).toBeGreaterThan(5);
    for (const { folder, manifest } of manifests()) {
      const name = folder.startsWith('drivers/') ? 'drivers/*' : (folder.split('/')[1] ?? '');
      if (name === 'testing') continue;
      const allowed = table.get(name) ?? [];
      const ours = Object.keys(manifest.dependencies ?? {})
        .filter((dependency) => dependency.startsWith('@cyborg/'))
        .map((dependency) => dependency.slice('@cyborg/'.length));
      for (const dependency of ours) {
        expect(
          allowed,
          `${name} may not import ${dependency}: see the table in ARCHITECTURE.md`,
        ).toContain(dependency);
      }
    }
  });

  it('lets only tests import @cyborg/testing', ({ expect }) => {
    const offenders = code.filter(
      (path) => !isTest(path) && read(path).includes("'@cyborg/testing/"),
    );
    expect(offenders).toEqual([]);
  });

  it('keeps the clock and randomness of the database out of the domain', ({ expect }) => {
    const forbidden =
      /\b(now\(\)|current_timestamp|clock_timestamp\(\)|gen_random_uuid\(\)|(?<![.\w])random\(\))/;
    const offenders = code.filter(
      (path) =>
        /^packages\/(store|conductor)\/src\//.test(path) &&
        !isTest(path) &&
        path !== 'packages/store/src/database-clock.ts' &&
        sqlOf(read(path)).some((statement) => forbidden.test(statement)),
    );
    expect(offenders, 'pass instants and ids as parameters: Clock and Rng').toEqual([]);
  });

  it('takes time and randomness from Clock and Rng in conductor and agent', ({ expect }) => {
    const forbidden = /\b(Date\.now\(|new Date\(\)|Math\.random\(|randomUUID\(|randomBytes\()/;
    const offenders = code.filter(
      (path) =>
        /^(packages\/conductor|apps\/agent)\/src\//.test(path) &&
        !path.startsWith('apps/agent/src/hypervisors/simulated/') && // stands for the world outside
        !isTest(path) &&
        forbidden.test(read(path)),
    );
    expect(offenders).toEqual([]);
  });

  it('never starts a bare "node", which would be the machine’s own', ({ expect }) => {
    const offenders = code.filter(
      (path) =>
        path !== 'tools/tidy.test.ts' &&
        /\b(spawn|spawnSync|execFile|execFileSync|fork)\(\s*['"]node['"]/.test(read(path)),
    );
    expect(offenders, 'use process.execPath').toEqual([]);
  });

  it('marks no test as the only one and skips none in silence', ({ expect }) => {
    const offenders = files.filter(
      (path) =>
        path.endsWith('.test.ts') &&
        path !== 'tools/tidy.test.ts' &&
        /\b(it|test|describe)\.(only|todo|skip\()/.test(read(path)),
    );
    expect(
      offenders,
      'skip with ctx.skip(reason), and fail under CI=true where the thing can run',
    ).toEqual([]);
  });

  it('names no registry host and no path of somebody’s machine', ({ expect }) => {
    const forbidden = new RegExp(
      [
        'registry',
        '\\.npmjs',
        '|deb',
        '\\.debian\\.org',
        '|/work/',
        '(main|shared)\\b',
        '|/home/[a-z]+/',
      ].join(''),
    );
    const offenders = files.filter(
      (path) => /\.(ts|js|json|md|sh|yaml|yml)$/.test(path) && forbidden.test(read(path)),
    );
    expect(offenders).toEqual([]);
  });

  it('has every optional package of the lock file in the lock file', ({ expect }) => {
    const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, Manifest> };
    const missing = Object.entries(lock.packages).flatMap(([path, { optionalDependencies }]) =>
      Object.keys(optionalDependencies ?? {}).filter(
        (name) => !isLocked(lock.packages, path, name),
      ),
    );
    expect(
      missing,
      'pin a version whose platform packages are all published: npm ci would fail',
    ).toEqual([]);
  });

  it('keeps the launchers executable', ({ expect }) => {
    for (const path of globSync('bin/*', { cwd: root })) {
      expect(statSync(join(root, path)).mode & 0o777, path).toBe(0o755);
    }
  });

  it('names tests in the tables of the proposal and the promises that exist', ({ expect }) => {
    const tables = read('docs/reference/proposal.md') + read('docs/reference/promises.md');
    const named = [...tables.matchAll(/`([\w/.-]+\.test\.ts)`/g)].map((match) => match[1] ?? '');
    expect(named.length).toBeGreaterThan(8);
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  it('links only to files that exist in its Markdown', ({ expect }) => {
    const broken = files
      .filter((path) => path.endsWith('.md'))
      .flatMap((path) =>
        [...read(path).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
          .map((match) => match[1] ?? '')
          .filter((target) => !existsSync(join(root, dirname(path), target)))
          .map((target) => `${path} -> ${target}`),
      );
    expect(broken).toEqual([]);
  });
});

/** Template literals that are SQL, and raw statements of migrations. */
function sqlOf(text: string): string[] {
  return [...text.matchAll(/`[^`]*`/g)].map((match) => match[0].toLowerCase());
}

function isLocked(packages: Record<string, Manifest>, from: string, name: string): boolean {
  for (let folder = from; ; folder = folder.replace(/\/?[^/]*$/, '')) {
    if (`${folder === '' ? '' : `${folder}/`}node_modules/${name}` in packages) return true;
    if (folder === '') return false;
  }
}
