import { join } from 'node:path';

import {
  configurationFile as agentFile,
  configurationMarkdown as agentMarkdown,
} from '../../apps/agent/src/configuration-docs.ts';
import {
  configurationFile,
  configurationMarkdown,
} from '../../apps/server/src/configuration-docs.ts';
import { apiMarkdown } from './api.ts';
import { cliMarkdown } from './cli.ts';

interface Page {
  readonly file: string;
  readonly text: string;
}

const folder = join(import.meta.dirname, '../../docs/reference');

/** Every reference page that is made from the code. */
export async function pages(): Promise<Page[]> {
  return [
    { file: join(folder, 'api.md'), text: apiMarkdown() },
    { file: join(folder, 'cli.md'), text: await cliMarkdown() },
    { file: configurationFile, text: configurationMarkdown() },
    { file: agentFile, text: agentMarkdown() },
  ];
}
