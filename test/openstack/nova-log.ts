/** Nova's own word, in its log. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { labState } from './lab.ts';
import { until } from './until.ts';

const eventSeconds = 30;

/** That it took the event of this request. */
export async function awaitNovaTookEvent(arq: string): Promise<void> {
  await until({ what: `Nova took our event of ${arq}`, seconds: eventSeconds }, async () => {
    const lines = readFileSync(join(labState, 'log/nova-api.log'), 'utf8').split('\n');
    return lines.some((line) => line.includes(`accelerator-request-bound:${arq}`)) || undefined;
  });
}
