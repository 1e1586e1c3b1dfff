/**
 * The last lines of a run: what passed only at its second try, and one line for each project, so that a log's end tells what
 * was run and what was not.
 */
import type { Reporter, TestCase, TestModule } from 'vitest/node';

const whyCharactersMax = 8_000;

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

export class SummaryReporter implements Reporter {
  #startedMs = 0;

  onTestRunStart(): void {
    this.#startedMs = performance.now();
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const seconds = Math.round((performance.now() - this.#startedMs) / 1000);
    const byProject = Map.groupBy(modules, ({ project }) => project.name);
    for (const test of secondTries(modules)) {
      process.stdout.write(
        `${test.project.name}: passed at its second try only: ${test.fullName}\n${whyFirst(test)}\n`,
      );
    }
    for (const [name, own] of byProject) {
      const { passed, failed, skipped } = countOf(own);
      const why = passed + failed === 0 ? whySkipped(own) : undefined;
      const broken = errors.length === 0 ? '' : `, ${errors.length} errors outside of tests`;
      process.stdout.write(
        `${name}: ${passed} passed, ${failed} failed, ${skipped} skipped${broken} in ${seconds} s${why === undefined ? '' : `: ${why}`}\n`,
      );
    }
  }
}

function secondTries(modules: readonly TestModule[]): TestCase[] {
  const tests = modules.flatMap((module) => [...module.children.allTests()]);
  return tests.filter((test) => test.diagnostic()?.flaky === true);
}

function whyFirst(test: TestCase): string {
  const [first] = test.result().errors ?? [];
  const told = `${first?.stack ?? first?.message}`.slice(0, whyCharactersMax);
  return told.replaceAll(/^/gm, '  ');
}

/** What the skipped tests say, when all say the same. */
function whySkipped(modules: readonly TestModule[]): string | undefined {
  const notes = new Set<string | undefined>();
  for (const test of modules.flatMap((module) => [...module.children.allTests()])) {
    const result = test.result();
    notes.add(result.state === 'skipped' ? result.note : undefined);
  }
  const [only, ...others] = notes;
  return others.length === 0 ? only : undefined;
}

/** A file that could not be loaded counts as one failed test. */
function countOf(modules: readonly TestModule[]): Count {
  const count: Count = { passed: 0, failed: 0, skipped: 0 };
  for (const module of modules) {
    const tests = [...module.children.allTests()];
    if (tests.length === 0 && module.state() === 'failed') count.failed += 1;
    for (const test of tests) {
      const { state } = test.result();
      if (state !== 'pending') count[state] += 1;
    }
  }
  return count;
}
