import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, it } from 'vitest';

import { programCard, writtenOf } from './program.ts';

describe('writing an image into the fake card', () => {
  it('takes its time, tells how far it is, and is seen afterwards', async ({
    expect,
    onTestFinished,
  }) => {
    const folder = mkdtempSync(join(tmpdir(), 'fake-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const sha256 = createHash('sha256').update('bits').digest('hex');
    const context = {
      backend: 'card',
      stateDir: folder,
      signal: new AbortController().signal,
      config: { program_seconds: 0.5, program_fails: false },
      inventoryChanged: () => {},
    };
    const order = { sha256 };
    const told: number[] = [];
    expect(writtenOf(context)).toEqual({});
    await programCard(context, order, (percent) => told.push(percent));
    expect(told[0]).toBe(0);
    expect(told.length).toBeGreaterThan(1);
    expect(writtenOf(context)).toEqual({ program_sha256: sha256 });

    const failing = { ...context, config: { program_seconds: 0, program_fails: true } };
    await expect(programCard(failing, order, () => {})).rejects.toThrow('told to');
  });
});
