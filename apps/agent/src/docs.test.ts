import { readFileSync } from 'node:fs';
import { describe, it } from 'vitest';

import { configurationFile, configurationMarkdown } from './configuration-docs.ts';

describe('docs/reference/agent-configuration.md', () => {
  it('is what the option schema says (node apps/agent/src/configuration-docs.ts writes it)', ({
    expect,
  }) => {
    expect(readFileSync(configurationFile, 'utf8')).toBe(configurationMarkdown());
  });
});
