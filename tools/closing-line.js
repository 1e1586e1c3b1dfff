// closing-line.js FAILED_STEPS SKIPPED_STEPS REPORT...: prints what failed, what was skipped, and CI's closing line from
// vitest's JSON reports. A failed step that is no test (a check, an installation) counts as one failure.
// Exit 1 when anything failed or nothing ran.
import { readFileSync } from 'node:fs';

const [failedSteps = 0, skippedSteps = 0] = process.argv.slice(2, 4).map(Number);
const reports = process.argv.slice(4).map(readReport);

function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    console.error('closing-line: a test run left no report');
    return undefined;
  }
}

const isOutsideTests = (file) =>
  file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed');

/** The beginning of each try's, without the runner's own lines: what is above may be cut off where this is read. */
const messagesOf = ({ failureMessages }) =>
  failureMessages
    .map((message) => message.replaceAll(/^ +at (?:new Promise|.*node_modules).*\n?/gm, ''))
    .map((message) => message.trimEnd().slice(0, 2000).replaceAll(/^/gm, '  '))
    .join('\n');

let passed = 0;
let skipped = skippedSteps;
let failedTests = 0;
let stepsWithFailedTests = 0;
for (const report of reports) {
  if (report === undefined) continue; // its step failed, or was skipped
  for (const file of report.testResults) {
    if (isOutsideTests(file)) console.log(`failed outside a test: ${file.name}\n  ${file.message}`);
    for (const test of file.assertionResults) {
      if (test.status === 'failed')
        console.log(`failed: ${file.name} > ${test.fullName}\n${messagesOf(test)}`);
      if (test.status === 'skipped' || test.status === 'pending')
        console.log(`skipped: ${test.fullName}`);
    }
  }
  const failedHere = report.numFailedTests + report.testResults.filter(isOutsideTests).length;
  if (failedHere > 0) stepsWithFailedTests += 1;
  failedTests += failedHere;
  passed += report.numPassedTests;
  skipped += report.numPendingTests + report.numTodoTests;
}
const failed = failedTests + Math.max(0, failedSteps - stepsWithFailedTests);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
