import { describe, it } from 'vitest';

import { card, openCards } from '../../test/cards.ts';
import { commitDraft, moveAccelerator, openDraft } from '../orders/draft.ts';
import { act } from '../transaction.ts';

describe('a card that is pulled', () => {
  it('keeps what somebody makes of it at the same moment', async ({ expect }) => {
    const bench = await openCards();
    const { database, deps } = bench;
    await using _ = database;
    await bench.put(card('41', { serial: 'a' }));
    const [{ id, epoch } = { id: '', epoch: 0 }] = await bench.rows();
    let look: Promise<unknown> = Promise.resolve();
    await act(deps, async (current) => {
      const draft = await openDraft(current, { ids: [id], ledger: deps.ledger });
      look = bench.put();
      await expect.poll(database.someoneWaits, { timeout: 20_000 }).toBe(true);
      const changes = { epoch: epoch + 1, reason: 'a guest has it' };
      moveAccelerator(draft, draft.accelerators.get(id)!, { event: 'find-held', changes });
      await commitDraft(draft);
    });
    await look;
    expect(await bench.rows()).toMatchObject([
      { state: 'cleaning', reason: 'a guest has it', epoch: epoch + 1, presence: 'absent' },
    ]);
  });
});
