import { readFileSync } from 'node:fs';
import { it } from 'vitest';
import { protocolSchemaDocument, schemaFile } from './generate.ts';

it('has its JSON Schemas in protocol.schema.json (run packages/driver-sdk/src/generate.ts after a change)', ({
  expect,
}) => {
  const stored: unknown = JSON.parse(readFileSync(schemaFile, 'utf8'));
  expect(stored).toEqual(JSON.parse(JSON.stringify(protocolSchemaDocument())));
});
