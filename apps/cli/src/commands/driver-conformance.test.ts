import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ConformanceReportSchema } from '@cyborg/api-spec/v3/conformance';
import type { DriverVersion } from '@cyborg/api-spec/v3/drivers';
import { Value } from 'typebox/value';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { checkTried, conformanceText, readReport } from './driver-conformance.ts';

const fixture = join(import.meta.dirname, '../../test/conformance-report.json');
const digest = `sha512-${'A'.repeat(86)}==`;

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'driver-conformance-'));
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

describe('a report', () => {
  it('is read from where the command was given', async ({ expect }) => {
    await writeFile(join(folder, 'report.json'), await readFile(fixture));
    const report = await readReport({ workingDirectory: folder }, 'report.json');
    expect(Value.Errors(ConformanceReportSchema, report)).toEqual([]);
    checkTried(report, { file: 'acme.tgz', digest });
  });

  it('is none when it is another file, or is missing, and says what makes one', async ({
    expect,
  }) => {
    const at = { workingDirectory: folder };
    for (const text of ['no JSON', '[]', 'null', '{"passed": true}']) {
      await writeFile(join(folder, 'other.json'), text);
      await expect(readReport(at, 'other.json')).rejects.toThrow(
        'other.json is no report: `cyborg driver-test PACKAGE.tgz --report FILE` writes one.',
      );
    }
    await expect(readReport(at, 'missing.json')).rejects.toThrow(/missing\.json cannot be read: /);
  });

  it('of a folder or of another package is refused before anything is sent', async ({ expect }) => {
    const report = await readReport({ workingDirectory: folder }, fixture);
    const file = 'acme-1.0.0.tgz';
    const other = `sha512-${'B'.repeat(86)}==`;
    expect(() => checkTried(report, { file, digest: other })).toThrow(
      `about a package with the digest ${digest}, not about ${file} (${other}): run \`cyborg driver-test ${file}`,
    );
    const ofFolder = { ...report, package: null };
    expect(() => checkTried(ofFolder, { file, digest })).toThrow('The report is about a folder');
  });
});

describe('what is shown of it', () => {
  const version: DriverVersion = {
    driver_id: 'acme',
    version: '1.0.0',
    state: 'uploaded',
    builtin: false,
    digest,
    size_bytes: 1,
    signature: 'signed',
    signed_by: null,
    runtime: 'node',
    protocol: null,
    permissions: { network: false },
    uploaded_by: 'vendor',
    approved_by: null,
    conformance: null,
    created_at: '2026-11-23T04:00:00.000Z',
    updated_at: null,
  };

  it('says whose word it is, and what failed', ({ expect }) => {
    const conformance = {
      passed: false,
      kit_version: '0.1.0',
      protocol: '1',
      clauses_passed: 44,
      clauses_failed: 1,
      clauses_untested: 3,
      clauses_not_run: 2,
      failures: [{ clause: 'D-INIT-2', text: 'It picks a version.', reason: 'it picked 9' }],
      backends: ['card (card)'],
      left_out: ['other (config: it lacks ids)'],
      seed: 7,
      duration_ms: 9400,
      uploaded_by: 'vendor',
      uploaded_at: '2026-11-23T05:00:00.000Z',
    };
    expect(conformanceText({ ...version, conformance }).split('\n')).toEqual([
      'does not conform: 44 clauses hold, 1 broken, 3 do not apply, 2 not run; kit 0.1.0, 9 s',
      'D-INIT-2 It picks a version. → it picked 9',
      'not tried: kind other (config: it lacks ids)',
      'says vendor (2026-11-23T05:00:00.000Z); this server has not tried it',
    ]);
  });

  it('says that there is none', ({ expect }) => {
    expect(conformanceText(version)).toBe('no conformance report');
    expect(conformanceText({ ...version, builtin: true })).toBe('-');
  });
});
