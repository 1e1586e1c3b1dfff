/** docs/reference/driver-protocol.md says what the code does. `node test/conformance/page.ts` writes its tables anew. */
import { readFileSync } from 'node:fs';
import { readPackage } from '@cyborg/driver-host/catalogue';
import { driverLimits } from '@cyborg/driver-host/limits';
import {
  agentRequests,
  driverErrorCodes,
  driverNotifications,
  driverRequests,
  protocolVersion,
} from '@cyborg/driver-sdk/protocol';
import { replay } from '@cyborg/driver-test/replay';
import { systemClock } from '@cyborg/service/clock';
import { describe, it } from 'vitest';
import * as made from './page.ts';

const page = readFileSync(made.pageFile, 'utf8');

/** The first cells of the table below a heading. */
function namesBelow(heading: string): string[] {
  const section = page.split(/^## /m).find((part) => part.startsWith(heading)) ?? '';
  return [...section.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name ?? '');
}

describe('the page of the driver protocol', () => {
  it('is of this version', ({ expect }) => {
    expect(page).toContain(`# The driver protocol, version ${protocolVersion}\n`);
  });

  it('has every request to the driver, with its deadline', ({ expect }) => {
    const told = [...page.matchAll(/^### `(\w+)`\n\nDeadline (\d+) s\./gm)];
    const deadlines = Object.fromEntries(told.map(([, name, s]) => [name, Number(s) * 1000]));
    expect(deadlines).toEqual(driverLimits.deadlineMs);
    expect(Object.keys(deadlines)).toEqual(Object.keys(driverRequests));
  });

  it('has every request to the agent, and every notification', ({ expect }) => {
    expect(namesBelow('Requests to the agent')).toEqual(Object.keys(agentRequests));
    expect(namesBelow('Notifications to the agent')).toEqual(Object.keys(driverNotifications));
  });

  it('has every error code', ({ expect }) => {
    const told = [...page.matchAll(/^\| (\d{4}) \| ([a-z-]+) \|/gm)];
    expect(Object.fromEntries(told.map(([, code, name]) => [name, Number(code)]))).toEqual(
      driverErrorCodes,
    );
  });

  it('tells the times of a restart as they are', ({ expect }) => {
    const { restartFirstMs, restartMaxMs, crashesMax, crashWindowMs, cancelGraceMs } = driverLimits;
    expect(page).toContain(
      `started again after ${restartFirstMs / 1000} s, with growing pauses to ${restartMaxMs / 1000} s; ${crashesMax} crashes within ${crashWindowMs / 60_000} minutes`,
    );
    expect(page).toContain(`the cancellation within ${cancelGraceMs / 1000} s is killed`);
  });

  it('has limits, clauses and schemas as the code has them', ({ expect }) => {
    expect(made.partOf(page, 'limits')).toBe(made.limitsTable());
    expect(made.partOf(page, 'clauses')).toBe(made.clauseTable());
    expect(made.partOf(page, 'schemas')).toBe(made.schemaBlock());
  });

  it('has a conversation that goes so again', async ({ expect }) => {
    const pkg = await readPackage(made.sampleFolder);
    const lines = made.conversationOf(page);
    const { answers, differences, violations } = await replay({ pkg, clock: systemClock, lines });
    expect(differences).toEqual([]);
    expect(violations).toEqual([]);
    expect(answers).toBe(8);
  });
});
