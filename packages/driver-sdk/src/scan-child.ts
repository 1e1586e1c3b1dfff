/** The process of a {@link ScanProcess}: loads the driver's scan module and answers its orders. */
import { Worker } from 'node:worker_threads';
import { makeProgress, ProgressWriter } from './scan-progress.ts';
import type { Scan, ScanAnswer, ScanOrder, ScanReply } from './scan-process.ts';
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

let waiting: PromiseWithResolvers<unknown> | undefined;

/** One question at a time. */
async function ask(question: unknown): Promise<unknown> {
  waiting = Promise.withResolvers();
  send({ question });
  return await waiting.promise;
}

async function answer({ input, skip }: ScanOrder): Promise<ScanAnswer> {
  try {
    const { scan } = await loading;
    return { json: JSON.stringify(await scan(input, new TreeReader({ watch, skip }), ask)) };
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

function send(message: ScanAnswer): void {
  process.send?.(message, () => undefined); // whoever wanted it may have ended
}

process.on('message', (message: ScanOrder | ScanReply) => {
  if ('input' in message) void answer(message).then(send);
  else if ('reply' in message) waiting?.resolve(message.reply);
  else waiting?.reject(new Error(message.refusal));
});
process.on('disconnect', () => process.exit(0));
