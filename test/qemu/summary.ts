/** The last line of a file of tests: how many passed, and how long it took. */
import { writeSync } from 'node:fs';
import { afterAll, afterEach } from 'vitest';

export function summarize(what: string): void {
  const startedMs = performance.now();
  const counts = { pass: 0, fail: 0 };
  afterEach(({ task }) => {
    counts[task.result?.state === 'fail' ? 'fail' : 'pass'] += 1;
  });
  afterAll(() => {
    const seconds = Math.round((performance.now() - startedMs) / 1000);
    const line = `${what}: ${counts.pass} passed, ${counts.fail} failed in ${seconds} s`;
    writeSync(1, `${line}\n`);
  });
}
