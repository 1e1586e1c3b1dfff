/** Beside a scan: names the path of a read that takes too long, and ends the process, which can no longer itself. */
import { writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { blockedPathFd } from './scan-process.ts';
import { ProgressReader } from './scan-progress.ts';

// What scan-child.ts, the only one to start this thread, puts there.
const { progress, readMsMax } = workerData as { progress: SharedArrayBuffer; readMsMax: number };
const reader = new ProgressReader(progress, () => performance.now());

setInterval(
  () => {
    const reading = reader.current();
    if (reading === undefined || reading.ageMs < readMsMax) return;
    writeSync(blockedPathFd, reading.path);
    process.kill(process.pid, 'SIGKILL');
  },
  Math.max(20, Math.min(250, readMsMax / 4)),
);
