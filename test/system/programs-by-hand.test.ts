/** `accelerator-update --program FILE`, from the command line through server and agent into the fake driver's card. */
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, it } from 'vitest';

import { Fleet } from './fleet.ts';

async function openFleet(config: Record<string, unknown>): Promise<Fleet> {
  const fleet = await Fleet.open();
  await fleet.startServer();
  await fleet.addHosts(['peerhost'], { args: ['--inventory-interval', '2'] });
  const backends = [{ name: 'card', kind: 'card', config }];
  await fleet.done(fleet.v3.installDriver({ params: { driver_id: 'fake' }, body: { backends } }));
  return fleet;
}

describe('an operator who programs a card', () => {
  it('sends a file, follows it into the card, and is told of a wrong one', async ({ expect }) => {
    await using fleet = await openFleet({ count: 2, program_seconds: 1 });
    const [accelerator] = await fleet.accelerators();
    const id = accelerator?.id ?? '';
    const file = join(fleet.folder, 'aes.bit');
    const bytes = randomBytes(3_000_001);
    writeFileSync(file, bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const program = (...more: string[]) =>
      fleet.cli('accelerator-update', id, '--program', file, ...more);

    const rehearsed = await program('--dry-run');
    expect(rehearsed, rehearsed.stderr).toMatchObject({ status: 0 });
    expect(rehearsed.stdout).toContain(`what has sha256 ${sha256} is written into`);
    const wrong = await program('--sha256', '0'.repeat(64));
    expect(wrong).toMatchObject({ status: 1, stderr: expect.stringContaining(sha256) });
    expect(await fleet.db.selectFrom('staged_image').select('id').execute()).toEqual([]);

    const done = await program('--sha256', sha256);
    expect(done, `${done.stderr} ${fleet.logs()}`).toMatchObject({ status: 0 });
    expect(done.stdout).toContain('100 of 100');
    const states = (await fleet.accelerators()).map(({ state }) => state);
    expect(states).toEqual(['available', 'available']);
    const kinds = (await fleet.events()).map(({ kind }) => kind);
    for (const kind of ['program.uploaded', 'deployable.programming', 'deployable.programmed']) {
      expect(kinds).toContain(kind);
    }
  });

  it('finds the card withheld with the reason when that failed', async ({ expect }) => {
    await using fleet = await openFleet({ count: 1, program_fails: true });
    const [accelerator] = await fleet.accelerators();
    const file = join(fleet.folder, 'bad.bit');
    writeFileSync(file, 'bad');
    const failed = await fleet.cli('accelerator-update', accelerator?.id ?? '', '--program', file);
    expect(failed, fleet.logs()).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('(program-accelerator) failed'),
    });
    expect(await fleet.accelerators()).toMatchObject([
      { state: 'withheld', reason: expect.stringContaining('Program it again') },
    ]);
  });
});
