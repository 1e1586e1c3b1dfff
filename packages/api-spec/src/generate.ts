/** Writes openapi/v3.json; a test says when it is behind. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { makeOpenApi } from './openapi.ts';

export const openApiFile = join(import.meta.dirname, '../../../openapi/v3.json');

export function openApiText(): string {
  return `${JSON.stringify(makeOpenApi(), null, 2)}\n`;
}

if (import.meta.main) {
  writeFileSync(openApiFile, openApiText());
  console.error(`wrote ${openApiFile}`);
}
