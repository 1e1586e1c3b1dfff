/** The driver SDK as an author outside this checkout gets it. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { publint } from 'publint';
import { beforeAll, describe, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'packages/driver-sdk/dist');

const driver = `
import { defineDriver, defineKind } from '@cyborg/driver-sdk/define-driver';
import { serve } from '@cyborg/driver-sdk/serve';

const card = defineKind({
  title: 'Nothing',
  config: { type: 'object', properties: {} },
  delegable: [],
  discover: () => ({ devices: [], services: [] }),
  prepare: () => ({ kind: 'pci', address: '0000:00:00.0' }),
  release: () => undefined,
  clean: () => ['clean'],
});
await serve(defineDriver({ id: 'outside', version: '1.0.0', kinds: { card } }));
`;

function frame(id: number, method: string, params: object): string {
  const body = JSON.stringify({ jsonrpc: '2.0', id, method, params });
  return `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** The tarball of `npm pack`, unpacked where `npm install` puts it, with what it depends on. */
function install(folder: string): void {
  const packing = ['pack', '--json', '--pack-destination', folder];
  const packed = execFileSync('npm', packing, { cwd: dist, encoding: 'utf8' });
  const file = /"filename": "([^"]+\.tgz)"/.exec(packed)?.[1] ?? 'npm named no file';
  execFileSync('tar', ['-xzf', file], { cwd: folder });
  const modules = join(folder, 'node_modules');
  mkdirSync(join(modules, '@cyborg'), { recursive: true });
  cpSync(join(folder, 'package'), join(modules, '@cyborg/driver-sdk'), { recursive: true });
  for (const name of ['typebox', 'vscode-jsonrpc']) {
    cpSync(join(root, 'node_modules', name), join(modules, name), { recursive: true });
  }
}

/** stdin stays open: a driver ends without an answer when it is closed. */
async function converse(program: string, input: string): Promise<Record<string, unknown>> {
  const child = spawn(process.execPath, [program], { timeout: 60_000 });
  child.stdin.write(input);
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { stdout, stderr, status };
}

describe('the package of the driver SDK', { timeout: 120_000 }, () => {
  beforeAll(() => {
    execFileSync(process.execPath, [join(root, 'packages/driver-sdk/src/build.ts')]);
  });

  it('has nothing that publint complains of', async ({ expect }) => {
    const { messages } = await publint({ pkgDir: dist, pack: false, strict: true });
    expect(messages).toEqual([]);
  });

  it('is run by plain Node below node_modules, each module of it', async ({
    expect,
    onTestFinished,
  }) => {
    const folder = mkdtempSync(join(tmpdir(), 'sdk-package-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    install(folder);
    const program = join(folder, 'driver.mjs');
    writeFileSync(program, driver);
    const roots = { sysfs: '/sys', proc: '/proc', dev: '/dev' };
    const greeting = {
      protocol_versions: ['1'],
      agent_version: '1',
      state_dir: null,
      backends: [],
    };
    const host = { name: 'host', node_name: 'host' };
    const input =
      frame(1, 'initialize', { ...greeting, host, roots, simulated: true }) +
      frame(2, 'shutdown', {});
    const { stdout, stderr, status } = await converse(program, input);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(stdout).toContain('"driver":{"id":"outside","version":"1.0.0"}');

    const lib = join(folder, 'node_modules/@cyborg/driver-sdk/lib');
    const names = globSync('**/*.js', { cwd: lib }).map((path) => path.slice(0, -'.js'.length));
    expect(names).toContain('pci-cards');
    // A module that is a program of its own waits for messages.
    const plain = names.filter((name) => !['scan-child', 'scan-watchdog'].includes(name));
    const all = plain.map((name) => `import '@cyborg/driver-sdk/${name}';\n`).join('');
    writeFileSync(join(folder, 'all.mjs'), all);
    const imported = spawnSync(process.execPath, [join(folder, 'all.mjs')], { encoding: 'utf8' });
    expect({ stderr: imported.stderr, status: imported.status }).toEqual({ stderr: '', status: 0 });
    const typed = globSync('**/*.d.ts', { cwd: lib });
    expect(typed).toHaveLength(names.length);
    expect(typed.map((path) => dirname(path))).toContain('host-use');
  });
});
