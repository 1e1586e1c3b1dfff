/** docs/reference/request-flow.md says what happens: each journey's trace is the one of its table. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { makeTempFolder } from '@cyborg/testing/embedded';
import { describe, it, type ExpectStatic } from 'vitest';

import { defines, readFlows, readFunctions } from './flow-page.ts';
import {
  TracedFleet,
  openStackArgs,
  runNovaCalls,
  runVerbs,
  startOpenStack,
  verbs,
} from './journeys.ts';
import { inOrderOfEach, toLines, treesOf } from './traces.ts';

const root = join(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/reference/request-flow.md'), 'utf8');
const flows = readFlows(page);

function compare(expect: ExpectStatic, traced: TracedFleet): void {
  const seen = traced.journeys();
  for (const [journey, spans] of seen) {
    const described = flows.get(journey);
    expect(described, `the page has a table for ${journey}`).toBeDefined();
    expect(toLines(inOrderOfEach(treesOf(spans))), journey).toEqual(
      toLines(inOrderOfEach(described ?? [])),
    );
  }
}

describe('docs/reference/request-flow.md', () => {
  it('has every verb as it travels through server, agent and driver', async ({ expect }) => {
    await using traced = await TracedFleet.open();
    await runVerbs(traced);
    await traced.end();
    expect([...traced.journeys().keys()].toSorted()).toEqual(verbs.toSorted());
    compare(expect, traced);
  });

  it("has Nova's calls as they travel, Placement and Nova included", async ({ expect }) => {
    await using openStack = await startOpenStack();
    using folder = makeTempFolder();
    await using traced = await TracedFleet.open(openStackArgs(folder.path, openStack));
    await runNovaCalls(traced, openStack);
    await traced.end();
    expect([...traced.journeys().keys()]).toEqual([...flows.keys()].filter(isNovas));
    compare(expect, traced);
  });

  it('names functions that are where it says', ({ expect }) => {
    const named = readFunctions(page);
    expect(named.length).toBeGreaterThan(50);
    const missing = named.filter(({ path, name }) => {
      const file = join(root, path);
      return !existsSync(file) || !defines(readFileSync(file, 'utf8'), name);
    });
    expect(missing).toEqual([]);
  });
});

function isNovas(journey: string): boolean {
  return journey.startsWith('arq-');
}
