import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { systemClock } from '@cyborg/service/clock';
import { makeTempFolder, startPostgresProgram } from '@cyborg/testing/embedded';
import { quietLog } from '@cyborg/testing/log';
import { afterAll, describe, it } from 'vitest';

import { copyBinaries, findBinaries } from './binaries.ts';
import { runCommand } from './command.ts';
import { startEmbeddedPostgres } from './start.ts';
import { chooseWay } from './ways.ts';
import type { Way } from './ways.ts';

const isRoot = process.getuid?.() === 0;
const checkout = join(import.meta.dirname, '..', '..', '..', '..');
const asNobody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];

/** A folder that every user may enter. */
function makeOpenFolder(): ReturnType<typeof makeTempFolder> {
  const folder = makeTempFolder();
  chmodSync(folder.path, 0o755);
  return folder;
}

/** The programs where every user reaches them, wherever this checkout lies. */
const open = makeOpenFolder();
afterAll(() => open[Symbol.dispose]());
const openBinaries = canOthersReach(checkout)
  ? findBinaries()
  : copyBinaries(findBinaries(), open.path);

function choose(directory: string, binaries = openBinaries): Promise<Way> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return chooseWay({ directory, data: join(directory, 'data'), binaries, log: quietLog });
}

/** Starts, stops, and starts again what is there by then. */
async function startTwice(directory: string, binaries = openBinaries): Promise<void> {
  for (let round = 0; round < 2; round++) {
    const settings = { fsync: 'off' };
    const options = { directory, binaries, settings, log: quietLog, clock: systemClock };
    await (await startEmbeddedPostgres(options)).stop();
  }
}

describe.skipIf(!isRoot)('as root', () => {
  it('runs as another user where that one can reach the directory', async ({ expect }) => {
    using folder = makeOpenFolder();
    const directory = join(folder.path, 'pg');
    const way = await choose(directory);
    await startTwice(directory);
    expect(way.owner.uid).not.toBe(0);
    expect(statSync(join(directory, 'data')).uid).toBe(way.owner.uid);
    expect(statSync(join(directory, 'data')).mode & 0o077).toBe(0);
  });

  it('runs in a user namespace below what mktemp -d makes', async ({ expect }) => {
    using folder = makeTempFolder();
    const directory = join(folder.path, 'pg');
    expect(await choose(directory)).toMatchObject({
      name: 'in a user namespace',
      owner: { uid: 0 },
    });
    await startTwice(directory);
    expect(statSync(join(directory, 'data')).uid).toBe(0);
  });

  it('runs with a state directory below the closed folder of a user', async ({ expect }) => {
    using folder = makeOpenFolder();
    const home = join(folder.path, 'home');
    await runCommand([...asNobody, 'mkdir', '-m', '700', home], { timeoutMs: 60_000 });
    mkdirSync(home, { recursive: true, mode: 0o700 });
    await runCommand(['chown', '65534:65534', home], { timeoutMs: 60_000 });
    const directory = join(home, 'pg');
    expect((await choose(directory)).owner.uid).toBe(65_534);
    await startTwice(directory);
  });

  it('runs below closed folders of several owners', async ({ expect }) => {
    using folder = makeTempFolder();
    const home = join(folder.path, 'home');
    mkdirSync(home, { mode: 0o700 });
    await runCommand(['chown', '65534:65534', home], { timeoutMs: 60_000 });
    const directory = join(home, 'pg');
    expect((await choose(directory)).name).toContain('CAP_DAC_READ_SEARCH');
    await startTwice(directory);
  });

  it('changes the owner of the data when the way changes', async ({ expect }) => {
    using folder = makeTempFolder();
    const directory = join(folder.path, 'pg');
    await startTwice(directory);
    expect(statSync(join(directory, 'data')).uid).toBe(0);
    chmodSync(folder.path, 0o755);
    await usingOnlyTools(['setpriv', 'sh', 'flock'], () => startTwice(directory));
    expect(statSync(join(directory, 'data')).uid).not.toBe(0);
    expect(statSync(join(directory, 'data', 'base')).uid).not.toBe(0);
  });

  it('copies the programs when it cannot reach them otherwise', async ({ expect }) => {
    using closed = makeTempFolder();
    using folder = makeOpenFolder();
    const native = join(closed.path, 'native');
    cpSync(findBinaries().native, native, { recursive: true, verbatimSymlinks: true });
    // Even the right to pass through closed folders is gone, and so are namespaces.
    chmodSync(native, 0o700);
    const directory = join(folder.path, 'pg');
    const binaries = { ...findBinaries(), native };
    await usingOnlyTools(['sh', 'flock'], async (tools) => {
      makeTool(tools, 'setpriv', refusingCapabilities);
      const way = await choose(directory, binaries);
      expect(way.binaries.native.startsWith(directory)).toBe(true);
      await startTwice(directory, binaries);
    });
  });

  it('refuses with the way out when no way works', async ({ expect }) => {
    using folder = makeTempFolder();
    await usingOnlyTools(['sh', 'flock'], async (tools) => {
      makeTool(tools, 'setpriv', refusingCapabilities);
      await expect(choose(join(folder.path, 'pg'))).rejects.toMatchObject({
        reason: 'no-way-to-run',
        message: expect.stringMatching(
          /as uid .*in a user namespace.*--state-dir .*\/var\/lib\/cyborg/s,
        ),
      });
    });
  });

  it.skipIf(!canOthersReach(checkout))('has a user that may run it too', async ({ expect }) => {
    using folder = makeOpenFolder();
    chmodSync(folder.path, 0o777);
    const directory = join(folder.path, 'pg');
    await using server = await startPostgresProgram(directory, { prefix: asNobody });
    expect(server.report).toMatchObject({ url: expect.stringContaining('postgresql://') });
    expect(statSync(join(directory, 'data')).uid).toBe(65_534);
  });

  it.skipIf(!canOthersReach(checkout))(
    'tells a user whose the data of another is',
    async ({ expect }) => {
      using folder = makeOpenFolder();
      const directory = join(folder.path, 'pg');
      await startTwice(directory);
      chmodSync(directory, 0o777);
      rmSync(join(directory, 'server.lock'));
      rmSync(join(directory, 'postgres.log'));
      const asGames = ['setpriv', '--reuid', '5', '--regid', '60', '--clear-groups'];
      await using server = await startPostgresProgram(directory, { prefix: asGames });
      expect(server.report).toMatchObject({
        reason: 'directory-unusable',
        message: expect.stringContaining('belongs to uid'),
      });
    },
  );
});

describe('the programs', () => {
  it('get their library links when npm did not make them', ({ expect }) => {
    using folder = makeTempFolder();
    const { native, version } = findBinaries();
    const bare = join(folder.path, 'native');
    cpSync(native, bare, { recursive: true, verbatimSymlinks: true });
    rmSync(join(bare, 'lib', 'libicui18n.so.60'));
    rmSync(join(bare, 'lib', 'libpq.so.5'));
    symlinkSync('nowhere', join(bare, 'lib', 'libpq.so.5'));

    const copy = copyBinaries({ version, native: bare, isComplete: false }, join(folder.path));

    expect(readlinkSync(join(copy.native, 'lib', 'libicui18n.so.60'))).toBe('libicui18n.so.60.2');
    expect(existsSync(join(copy.native, 'lib', 'libpq.so.5'))).toBe(true);
    expect(copy.isComplete).toBe(true);
    expect(lstatSync(join(copy.native, 'bin', 'postgres')).mode & 0o777).toBe(0o755);
  });
});

/** A container that dropped its capabilities refuses them. */
const refusingCapabilities = `#!/bin/sh
case "$*" in *ambient-caps*) echo "setpriv: activate capabilities: Operation not permitted" >&2; exit 1;; esac
exec /usr/bin/setpriv "$@"
`;

/** Runs with a PATH that has these tools only: no unshare, say. */
async function usingOnlyTools(
  names: readonly string[],
  use: (folder: string) => Promise<void>,
): Promise<void> {
  using folder = makeOpenFolder();
  for (const name of names) symlinkSync(toolPath(name), join(folder.path, name));
  const before = process.env['PATH'];
  process.env['PATH'] = folder.path;
  try {
    await use(folder.path);
  } finally {
    process.env['PATH'] = before;
  }
}

function toolPath(name: string): string {
  const folders = ['/usr/bin', '/bin', '/usr/sbin'];
  return join(folders.find((folder) => existsSync(join(folder, name))) ?? '', name);
}

function makeTool(folder: string, name: string, script: string): void {
  writeFileSync(join(folder, name), script, { mode: 0o755 });
}

function canOthersReach(path: string): boolean {
  for (let folder = path; folder !== '/'; folder = join(folder, '..')) {
    if ((statSync(folder).mode & 0o001) === 0) return false;
  }
  return true;
}
