import { defineConfig } from 'vitest/config';

import { LongestFirst } from './test/lab/longest-first.ts';
import { labNames } from './test/lab/names.ts';
import { SummaryReporter } from './test/summary-reporter.ts';

/**
 * Where machines, processes and browsers take part, a wait that ran out is tried a second time: the summary names it, with
 * what it waited for. Tests of kills and races are not (`retry: 0`): what comes seldom is what they look for.
 */
const secondTry = { count: 1, condition: /\b(?:in|within) \d+ ?ms|timed out|timeout/i };

export default defineConfig({
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{apps,packages,drivers,tools}/**/*.test.ts'],
          exclude: ['**/node_modules/**'],
          globalSetup: ['packages/testing/src/global-setup.ts'],
          // More than what the waits of one test may take together; seconds are usual.
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          globalSetup: ['packages/testing/src/global-setup.ts'],
          // More than what the waits of one test may take together.
          testTimeout: 400_000,
          hookTimeout: 400_000,
          retry: secondTry,
        },
      },
      {
        extends: true,
        test: {
          name: 'conformance',
          include: ['test/conformance/**/*.test.ts'],
          // A driver that hangs costs time, not work.
          maxConcurrency: 4,
          testTimeout: 300_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'qemu',
          include: ['test/qemu/**/*.test.ts'],
          // A guest may take minutes to answer on a busy machine, and is asked several times.
          testTimeout: 1_200_000,
          hookTimeout: 900_000,
          retry: secondTry,
        },
      },
      {
        extends: true,
        test: {
          name: 'openstack',
          include: ['test/openstack/**/*.test.ts'],
          globalSetup: ['packages/testing/src/global-setup.ts', 'test/openstack/setup.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          // One lab, one server on :6666.
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          globalSetup: ['packages/testing/src/global-setup.ts', 'test/browser/setup.ts'],
          testTimeout: 600_000,
          hookTimeout: 180_000,
          // What a page did not show in time is told as what it showed.
          retry: 1,
          // One demo fleet, on which each file acts.
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          name: 'lab',
          include: ['test/lab/**/*.test.ts'],
          globalSetup: ['test/lab/setup.ts'],
          // An emulated processor: an attach to a guest inside takes a minute on a busy machine.
          testTimeout: 1_800_000,
          hookTimeout: 1_800_000,
          retry: secondTry,
          // As many files at once as there are labs: one server is behind a lab's only line out.
          maxWorkers: labNames().names.length,
        },
      },
    ],
    // The usual second is little on a busy machine.
    expect: { poll: { timeout: 30_000 } },
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    reporters: ['default', new SummaryReporter()],
  },
});
