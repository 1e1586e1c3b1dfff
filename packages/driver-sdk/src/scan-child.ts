/** The process of a {@link ScanProcess}: loads the driver's scan module and answers its orders. */
import { Worker } from 'node:worker_threads';
import { makeProgress, ProgressWriter } from './scan-progress.ts';
import type { Scan, ScanAnswer, ScanOrder } from './scan-process.ts';
import { TreeReader } from './sysfs.ts';

const [, , module = '', readMsMax = ''] = process.argv;
const progress = makeProgress();
const watch = new ProgressWriter(progress);
const watchdog = new Worker(new URL('./scan-watchdog.ts', import.meta.url), {
  workerData: { progress, readMsMax: Number(readMsMax) },
});
watchdog.unref();

// Loaded before it is asked for, so that the first scan does not wait for it.
const loading = import(module) as Promise<{ scan: Scan<unknown, unknown> }>;
loading.catch(() => undefined); // each order reports it

async function answer({ input, skip }: ScanOrder): Promise<ScanAnswer> {
  try {
    const { scan } = await loading;
    return { json: JSON.stringify(scan(input, new TreeReader({ watch, skip }))) };
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

process.on('message', (order: ScanOrder) => {
  void answer(order).then((message) => process.send?.(message));
});
process.on('disconnect', () => process.exit(0));
