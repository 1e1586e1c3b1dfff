// closing-line.js REPORT FAILED_STEPS SKIPPED_STEPS: prints the reasons of skipped tests and CI's closing line from vitest's JSON
// report. A failed step that is no test (a check, an installation) counts as one failure. Exit 1 when anything failed
// or nothing ran.
import { readFileSync } from 'node:fs';

const [reportPath, ...steps] = process.argv.slice(2);
const [failedSteps, skippedSteps] = steps.map(Number);

function readReport() {
  try {
    return JSON.parse(readFileSync(reportPath, 'utf8'));
  } catch {
    console.error('closing-line: the test run left no report');
    return {
      testResults: [],
      numPassedTests: 0,
      numFailedTests: 0,
      numPendingTests: 0,
      numTodoTests: 0,
    };
  }
}

const report = readReport();
for (const file of report.testResults) {
  if (file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed')) {
    console.log(`failed outside a test: ${file.name}\n  ${file.message}`);
  }
  for (const test of file.assertionResults) {
    if (test.status === 'skipped' || test.status === 'pending')
      console.log(`skipped: ${test.fullName}`);
  }
}
const brokenFiles = report.testResults.filter(
  (file) =>
    file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
).length;
const isTestStepCounted = report.numFailedTests + brokenFiles > 0 ? 1 : 0;
const failed = report.numFailedTests + brokenFiles + Math.max(0, failedSteps - isTestStepCounted);
const skipped = report.numPendingTests + report.numTodoTests + skippedSteps;
console.log(`${report.numPassedTests} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed > 0 || report.numPassedTests === 0 ? 1 : 0);
