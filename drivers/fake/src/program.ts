/** Writes program images into the card that is not there: what it has is a file of the driver's. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { BackendContext, UpdateOrder } from '@cyborg/driver-sdk/define-driver';

type Context = Pick<BackendContext<unknown>, 'backend' | 'stateDir' | 'signal'> & {
  readonly config: { readonly program_seconds: number; readonly program_fails: boolean };
  readonly inventoryChanged: () => void;
};

const stepMs = 200;

/** The SDK has checked the image's bytes. @throws Error when it is told to fail. */
export async function programCard(
  context: Context,
  { sha256 }: Pick<UpdateOrder, 'sha256'>,
  tell: (percent: number) => void,
): Promise<void> {
  const { program_seconds: seconds, program_fails: fails } = context.config;
  const steps = Math.ceil((seconds * 1000) / stepMs);
  for (let step = 0; step < steps; step++) {
    tell((100 * step) / steps);
    await sleep((seconds * 1000) / steps, undefined, { signal: context.signal });
  }
  if (fails) throw new Error('the card refused the image, as it was told to');
  keep(context, sha256);
  context.inventoryChanged();
}

/** What is in the card, for people: `{}` before anything was written. */
export function writtenOf(context: Pick<Context, 'backend' | 'stateDir'>): Record<string, string> {
  const path = fileOf(context);
  if (path === undefined) return {};
  try {
    return { program_sha256: readFileSync(path, 'utf8') };
  } catch {
    return {}; // nothing was written yet
  }
}

function keep(context: Context, sha256: string): void {
  const path = fileOf(context);
  if (path === undefined) return;
  writeFileSync(`${path}.new`, sha256);
  renameSync(`${path}.new`, path);
}

function fileOf({ backend, stateDir }: Pick<Context, 'backend' | 'stateDir'>): string | undefined {
  return stateDir === null ? undefined : join(stateDir, `program-${encodeURIComponent(backend)}`);
}
