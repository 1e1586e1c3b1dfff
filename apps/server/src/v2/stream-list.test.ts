import { describe, it } from 'vitest';

import { streamed } from './route.ts';
import { openListStream } from './stream-list.ts';

async function* batchesOf(
  batches: readonly (readonly object[])[],
  seen: { read: number; isEnded: boolean } = { read: 0, isEnded: false },
): AsyncGenerator<readonly object[]> {
  try {
    for (const batch of batches) {
      seen.read += 1;
      yield batch;
    }
  } finally {
    seen.isEnded = true;
  }
}

async function textOf(batches: AsyncIterable<readonly object[]>): Promise<string> {
  let text = '';
  for await (const chunk of await openListStream(streamed('items', batches))) {
    text += String(chunk);
  }
  return text;
}

describe('a streamed list', () => {
  it('is one JSON object, whatever its batches', async ({ expect }) => {
    for (const batches of [
      [],
      [[]],
      [[{ a: 1 }]],
      [[], [{ a: 1 }], []],
      [[{ a: 1 }, { a: 2 }], [{ a: 3 }]],
    ]) {
      expect(JSON.parse(await textOf(batchesOf(batches)))).toEqual({ items: batches.flat() });
    }
  });

  it('is read no faster than its reader takes it, and let go with its reader', async ({
    expect,
  }) => {
    const seen = { read: 0, isEnded: false };
    const big = Array.from({ length: 200 }, (_, index) => [{ text: 'x'.repeat(20_000), index }]);
    const stream = await openListStream(streamed('items', batchesOf(big, seen)));
    await new Promise((resolve) => stream.once('readable', resolve));
    expect(seen.read).toBeLessThan(20);
    const closed = new Promise((resolve) => stream.once('close', resolve));
    stream.destroy();
    await closed;
    expect(seen.isEnded).toBe(true);
  });

  it('whose first batch fails is an error before anything is sent; a later one breaks it off', async ({
    expect,
  }) => {
    async function* failing(after: number): AsyncGenerator<readonly object[]> {
      for (let index = 0; index < after; index++) yield [{ index }];
      throw new Error('the database is gone');
    }
    await expect(openListStream(streamed('items', failing(0)))).rejects.toThrow('is gone');
    await expect(textOf(failing(2))).rejects.toThrow('is gone');
  });
});
