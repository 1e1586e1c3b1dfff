/** The thread of a {@link ScanThread}: loads the driver's scan module and answers its orders. */
import { parentPort, workerData } from 'node:worker_threads';
import { ProgressWriter } from './scan-progress.ts';
import type { Scan } from './scan-thread.ts';
import { TreeReader } from './sysfs.ts';

// What ScanThread, the only one to start this thread, puts into workerData and messages.
const { module, progress } = workerData as { module: string; progress: SharedArrayBuffer };
const { scan } = (await import(module)) as { scan: Scan<unknown, unknown> };
const watch = new ProgressWriter(progress);

parentPort?.on('message', ({ input, skip }: { input: unknown; skip: readonly string[] }) => {
  try {
    parentPort?.postMessage({ output: scan(input, new TreeReader({ watch, skip })) });
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    parentPort?.postMessage({ error: text });
  }
});
