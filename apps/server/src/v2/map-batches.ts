export async function* mapBatches<Row, Item>(
  batches: AsyncIterable<readonly Row[]>,
  toItem: (row: Row) => Item,
): AsyncGenerator<readonly Item[]> {
  for await (const rows of batches) yield rows.map(toItem);
}
