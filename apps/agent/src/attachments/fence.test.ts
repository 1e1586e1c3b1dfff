import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { it } from 'vitest';

const mark = '00000000-0000-4000-8000-000000000001 7 00000000-0000-4000-8000-000000000002';

/** In a process of its own, which is allowed to write no more to any file, and then is again. */
const script = `
  import { execFileSync } from 'node:child_process';
  import { readFile } from 'node:fs/promises';
  import { Fence } from ${JSON.stringify(new URL('fence.ts', import.meta.url).href)};
  const limit = (bytes) => execFileSync('prlimit', ['--pid', process.pid, '--fsize=' + bytes + ':']);
  const folder = process.argv[1];
  const fence = await Fence.open(folder);
  const raise = async () => await fence.raise(...${JSON.stringify(mark.split(' '))}.map((word, at) => at === 1 ? Number(word) : word));
  limit(0);
  const failure = await raise().then(() => null, ({ code }) => code);
  limit('unlimited');
  await raise();
  const [line] = (await readFile(folder + '/fence.log', 'utf8')).split('\\n');
  process.stdout.write(JSON.stringify({ failure, line }));
`;

it('an epoch whose writing has failed is written when it is raised again', async ({ expect }) => {
  const folder = await mkdtemp(join(tmpdir(), 'cyborg-fence-'));
  try {
    const args = ['--input-type=module', '--eval', script, folder];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 30_000 });
    expect(JSON.parse(stdout)).toEqual({ failure: 'EFBIG', line: mark });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
