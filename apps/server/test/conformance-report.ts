/** For tests: a report as `cyborg driver-test` writes it. */
import type { ConformanceReport } from '@cyborg/api-spec/v3/conformance';

type Clause = ConformanceReport['clauses'][number];

const duration_ms = 12;

export const passedClause: Clause = {
  clause: 'D-PREP-1',
  text: '`prepare` may be repeated.',
  outcome: 'passed',
  detail: null,
  duration_ms,
};
export const failedClause: Clause = {
  clause: 'D-INIT-2',
  text: 'The driver picks a protocol version that was offered.',
  outcome: 'failed',
  detail: 'it picked version 9',
  duration_ms,
};

export function reportOn(tried: {
  readonly driver_id: string;
  readonly version: string;
  readonly digest: string;
}): ConformanceReport {
  return {
    cyborg_driver_report: 1,
    kit: { version: '0.1.0', protocol: '1' },
    driver: { id: tried.driver_id, version: tried.version },
    package: { digest: tried.digest },
    only: [],
    backends: ['acme (entropy)'],
    left_out: [],
    seed: 7,
    duration_ms: 4321,
    passed: true,
    clauses: [passedClause],
  };
}
