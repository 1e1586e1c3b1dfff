/** The process of a {@link ScanProcess}: loads the driver's scan module and answers its orders. */
import { Worker } from 'node:worker_threads';
import { makeProgress, ProgressWriter } from './scan-progress.ts';
import type { Scan, ScanAnswer, ScanOrder } from './scan-process.ts';
import { TreeReader } from './sysfs.ts';

const progress = makeProgress();
const watch = new ProgressWriter(progress);
let watchdog: Worker | undefined;

async function answer({ module, input, skip, readMsMax }: ScanOrder): Promise<ScanAnswer> {
  watchdog ??= new Worker(new URL('./scan-watchdog.ts', import.meta.url), {
    workerData: { progress, readMsMax },
    execArgv: [],
  });
  try {
    const { scan } = (await import(module)) as { scan: Scan<unknown, unknown> };
    return { json: JSON.stringify(scan(input, new TreeReader({ watch, skip }))) };
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

process.on('message', (order: ScanOrder) => {
  void answer(order).then((message) => process.send?.(message));
});
process.on('disconnect', () => process.exit(0));
