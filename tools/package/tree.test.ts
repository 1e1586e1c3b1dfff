import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { chmodSync, existsSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeAll, describe, it } from 'vitest';

import { buildSdk } from '../../packages/driver-sdk/src/build.ts';
import { closureOf, readLock } from './closure.ts';
import { recipes } from './recipes.ts';
import { writeTree } from './tree.ts';

const root = join(import.meta.dirname, '../..');

describe('the tree of the command line', { timeout: 180_000 }, () => {
  let folder = '';
  const cyborg = (...args: string[]): SpawnSyncReturns<string> =>
    spawnSync(join(folder, 'tree/bin/cyborg'), args, { cwd: folder, encoding: 'utf8', env: {} });

  beforeAll(() => {
    buildSdk();
    folder = mkdtempSync(join(tmpdir(), 'cyborg-tree-'));
    // The kit runs drivers as nobody.
    chmodSync(folder, 0o755);
    const recipe = recipes.find(({ name }) => name === 'cyborg-cli');
    if (recipe === undefined) throw new Error('There is no recipe of the command line.');
    writeTree(join(folder, 'tree'), recipe, { root, packages: closureOf(readLock(root), recipe) });
    return () => rmSync(folder, { recursive: true, force: true });
  });

  it('begins a driver that conforms, far from any checkout', ({ expect }) => {
    const made = cyborg('driver-new', 'acme');
    expect({ status: made.status, stderr: made.stderr }).toMatchObject({ status: 0 });
    const tried = cyborg('driver-test', 'acme', '--clause', 'D-PREP-1');
    expect(tried.status, tried.stdout + tried.stderr).toBe(0);
    const packed = cyborg('driver-pack', 'acme');
    expect({ status: packed.status, stderr: packed.stderr }).toMatchObject({ status: 0 });
  });

  it('has the template of drivers in Python, its tests included', ({ expect }) => {
    const made = cyborg('driver-new', 'snake', '--runtime', 'python3');
    expect({ status: made.status, stderr: made.stderr }).toMatchObject({ status: 0 });
    const template = join(root, 'apps/cli/template-python');
    const names = globSync('**/*.{py,json,md}', { cwd: template });
    expect(names.length).toBeGreaterThan(5);
    expect(names.filter((name) => !existsSync(join(folder, 'snake', name)))).toEqual([]);
  });
});
