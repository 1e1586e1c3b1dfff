import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { openApiFile, openApiText } from '@cyborg/api-spec/generate';
import { makeOpenApi } from '@cyborg/api-spec/openapi';
import { v3Routes } from '@cyborg/api-spec/routes';
import { errorCodes } from '@cyborg/model/errors';
import { describe, it } from 'vitest';

import { configurationFile, configurationMarkdown } from './configuration-docs.ts';
import { statusOf } from './problem.ts';

const errorsFile = join(import.meta.dirname, '../../../docs/reference/errors.md');

describe('the reference documents', () => {
  it('describe every error code with its status and title, and no other', ({ expect }) => {
    const rows = readFileSync(errorsFile, 'utf8').matchAll(
      /^\| `([a-z-]+)` \| (\d+) \| ([^|]+) \| (.+) \|$/gm,
    );
    const described = [...rows].map(([, code, status, title]) => ({
      code,
      status: Number(status),
      title,
    }));
    const known = Object.entries(errorCodes).map(([code, { kind, title }]) => ({
      code,
      status: statusOf[kind],
      title,
    }));
    expect(described, 'bring docs/reference/errors.md up to date').toEqual(known);
  });

  it('describe every option', ({ expect }) => {
    expect(
      readFileSync(configurationFile, 'utf8'),
      'run: node apps/server/src/configuration-docs.ts',
    ).toBe(configurationMarkdown());
  });

  it('have the OpenAPI document of this code', ({ expect }) => {
    expect(readFileSync(openApiFile, 'utf8'), 'run: npm run generate').toBe(openApiText());
  });

  it('have every operation in OpenAPI, with an operationId and a refusal', ({ expect }) => {
    const operations = Object.values(makeOpenApi().paths).flatMap((path) => Object.values(path));
    expect(operations.map(({ operationId }) => operationId).toSorted()).toEqual(
      Object.keys(v3Routes).toSorted(),
    );
    for (const { responses } of operations) expect(Object.keys(responses)).toContain('4XX');
  });
});
