import { it } from 'vitest';

import { describeProgress, lineProgress } from './progress.ts';
import type { Operation } from './wait.ts';

function detaching(results: Operation['results']): Operation {
  const done = results.filter(({ outcome }) => outcome !== 'pending').length;
  return {
    id: 'op-1',
    kind: 'detach-instance',
    state: 'running',
    subject: {},
    progress: { done, total: results.length },
    results,
    error: null,
    user_id: 'ann',
    project_id: 'alpha',
    created_at: '2030-01-01T00:00:00Z',
    updated_at: null,
    finished_at: null,
  };
}

const result = (outcome: 'pending' | 'succeeded', message: string | null) => ({
  host: 'node-1',
  subject: 'acc-1',
  outcome,
  message,
});

it('an operation under way says what keeps it, once for each reason', ({ expect }) => {
  const lines: string[] = [];
  const progress = lineProgress((line) => lines.push(line));
  const again = 'The guest does not let go\nof the device.';
  for (const message of [null, again, again, null]) {
    progress.update(detaching([result('succeeded', 'ignored'), result('pending', message)]));
  }
  const plain = 'detach-instance op-1: running, 1 of 2 done';
  expect(lines).toEqual([plain, `${plain}; The guest does not let go of the device.`, plain]);
  expect(describeProgress(detaching([result('pending', 'x'.repeat(500))])).length).toBeLessThan(
    300,
  );
});
