/** Writes a list batch by batch, at the client's pace: flat in memory however long the list is. */
import { Readable } from 'node:stream';

import type { StreamedList } from './route.ts';

/**
 * The first batch is read before anything is answered, so that its failure is still a proper error; a later failure
 * cuts the connection, so that nobody takes the part for the whole.
 */
export async function openListStream({ listName, batches }: StreamedList): Promise<Readable> {
  const iterator = batches[Symbol.asyncIterator]();
  const first = await iterator.next();
  return Readable.from(chunks(listName, first, iterator), { objectMode: false });
}

async function* chunks(
  listName: string,
  first: IteratorResult<readonly object[]>,
  iterator: AsyncIterator<readonly object[]>,
): AsyncGenerator<Buffer> {
  let next = first;
  let separator = `{${JSON.stringify(listName)}: [`;
  try {
    while (next.done !== true) {
      const text = next.value.map((item) => JSON.stringify(item)).join(', ');
      if (text !== '') {
        yield Buffer.from(`${separator}${text}`);
        separator = ', ';
      }
      next = await iterator.next();
    }
    yield Buffer.from(separator === ', ' ? ']}' : `${separator}]}`);
  } finally {
    await iterator.return?.();
  }
}
