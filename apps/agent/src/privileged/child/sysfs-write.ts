/** The kernel's files are written in one piece, and never read and written by one descriptor: it refuses that. */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

export function writeAttribute(file: string, text: string): void {
  const descriptor = openSync(file, constants.O_WRONLY);
  try {
    writeSync(descriptor, text);
  } finally {
    closeSync(descriptor);
  }
}

const pauseMs = 20;

/** Some drivers probe after the write has returned. */
export async function waitUntil(isSo: () => boolean, timeoutMs: number): Promise<boolean> {
  for (let waitedMs = 0; !isSo(); waitedMs += pauseMs) {
    if (waitedMs >= timeoutMs) return false;
    await setTimeout(pauseMs);
  }
  return true;
}

/** The kernel's word for what went wrong: `ENOTTY`. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
