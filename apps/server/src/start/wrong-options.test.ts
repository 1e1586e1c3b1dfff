import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';

const programs = [
  join(import.meta.dirname, '../main.ts'),
  join(import.meta.dirname, '../all-in-one/main.ts'),
];

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-options-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function run(program: string, words: readonly string[]): Promise<{ code: number; stderr: string }> {
  return new Promise((resolve) => {
    const argv = [
      program,
      '--state-dir',
      join(folder, 'state'),
      '--listen',
      '127.0.0.1:0',
      ...words,
    ];
    const child = execFile(process.execPath, argv, { timeout: 60_000 }, (_error, _stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stderr }),
    );
  });
}

describe.each(programs)('a wrong option of %s', (program) => {
  it('ends the start with 2, naming the option, before anything is made', async ({ expect }) => {
    const junk = join(folder, 'junk.pem');
    writeFileSync(junk, 'no certificate');
    const config = join(folder, 'config.yaml');
    writeFileSync(config, '__proto__: 1\n');
    const cases = [
      [['--tls-cert', '/nope', '--tls-key', junk], /--tls-cert: \/nope cannot be read: ENOENT/],
      [['--tls-cert', junk, '--tls-key', junk], /--tls-cert: .*junk\.pem is no certificate chain/],
      [['--tls-cert', junk], /--tls-key is missing/],
      [
        ['--database-url', 'nonsense-\u001bsecret'],
        /--database-url: the given value \(hidden\) is not/,
      ],
      [['--config', config], /config\.yaml has the unknown key "__proto__"/],
    ] as const;
    const ends = await Promise.all(
      cases.map(async ([words, message]) => ({ message, ...(await run(program, words)) })),
    );
    for (const { message, code, stderr } of ends) {
      expect(stderr).toMatch(message);
      expect(stderr.trim()).not.toContain('\n');
      expect(code).toBe(2);
    }
    expect(existsSync(join(folder, 'state'))).toBe(false);
  }, 120_000);
});
