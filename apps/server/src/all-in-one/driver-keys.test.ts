/** One option of `npm start` for both: the server takes a signed package, and its agent runs it. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { makeTestKey } from '@cyborg/driver-package/test-package';
import { makeTempFolder } from '@cyborg/testing/embedded';
import { eventually, runCli, startProgram } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

const readyTimeoutMs = 120_000;
const hasPython = existsSync('/usr/bin/python3') || existsSync('/bin/python3');

describe('npm start --driver-key', { timeout: 600_000 }, () => {
  it.skipIf(!hasPython)(
    'takes and runs what its key has signed, and nothing else',
    async ({ expect }) => {
      using temp = makeTempFolder();
      const folder = temp.path;
      const [key, stranger] = [makeTestKey(), makeTestKey()];
      const files = { 'key.pem': key.privatePem, 'key.pub.pem': key.publicPem };
      for (const [name, text] of Object.entries({ ...files, 'other.pem': stranger.privatePem })) {
        writeFileSync(join(folder, name), text);
      }
      const stateDir = join(folder, 'state');
      const keyArgs = ['--driver-key', join(folder, 'key.pub.pem')];
      await using program = startProgram('allInOne', {
        args: ['--state-dir', stateDir, '--listen', '127.0.0.1:0', ...keyArgs],
        detached: true,
      });
      await eventually(() => program.output().includes('Ready.'), {
        timeoutMs: readyTimeoutMs,
        what: 'npm start is ready',
        context: () => program.output(),
      });
      const env = { CYBORG_CONFIG: join(stateDir, 'client.yaml') };
      const cyborg = async (...args: string[]): ReturnType<typeof runCli> => runCli(args, env);
      const done = async (...args: string[]): Promise<string> => {
        const { status, stdout, stderr } = await cyborg(...args);
        expect(status, `${args.join(' ')}: ${stderr}\n${program.output()}`).toBe(0);
        return stdout;
      };

      const source = join(folder, 'nitrox');
      await done('driver-new', 'nitrox', '--runtime', 'python3', '--dir', source);
      const tarball = join(folder, 'nitrox-0.1.0.tgz');
      await done('driver-pack', source, '--out', tarball);
      expect((await cyborg('driver-upload', tarball)).stderr).toMatch(/sign/i);
      await done('driver-sign', tarball, '--key', join(folder, 'other.pem'));
      expect((await cyborg('driver-upload', tarball)).stderr).toMatch(/trust|sign/i);
      rmSync(`${tarball}.sig`, { force: true });
      await done('driver-sign', tarball, '--key', join(folder, 'key.pem'));
      await done('driver-upload', tarball);
      await done('driver-approve', 'nitrox', '0.1.0');
      // Ends when the agent has fetched it, checked the signature, started it, and it has looked for its cards.
      await done('install-driver', 'nitrox');
      const backends: unknown = JSON.parse(
        await done('backend-list', '--driver', 'nitrox', '-f', 'json'),
      );
      expect(backends).toMatchObject([{ driver_id: 'nitrox', version: '0.1.0', state: 'ready' }]);
    },
  );
});
