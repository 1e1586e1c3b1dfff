#!/usr/bin/env node
import { randomInt, randomUUID } from 'node:crypto';
import { homedir } from 'node:os';
import { setTimeout as sleepFor } from 'node:timers/promises';

import { runCli } from './cli.ts';
import { outputMessage } from './errors.ts';
import type { Io } from './io.ts';

const fractionSteps = 2 ** 47;
/** 128 + SIGINT, as shells report it. */
const interruptedExitCode = 130;

const io: Io = {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  home: homedir(),
  workingDirectory: process.cwd(),
  clock: {
    monotonicMs: () => performance.now(),
    sleep: (ms, signal) => sleepFor(ms, undefined, signal === undefined ? {} : { signal }),
    setTimer: (ms, fn) => {
      const timer = setTimeout(fn, ms);
      return { [Symbol.dispose]: () => clearTimeout(timer) };
    },
  },
  rng: {
    uuid: () => randomUUID(),
    fraction: () => randomInt(fractionSteps) / fractionSteps,
  },
  onInterrupt: (describe) => {
    const listener = (): void => {
      process.stderr.write(`cyborg: ${describe()}\n`);
      process.exit(interruptedExitCode);
    };
    process.on('SIGINT', listener);
    return { [Symbol.dispose]: () => void process.off('SIGINT', listener) };
  },
};

// A pipe that nobody reads any more comes as an event, between two writes: the command has done its part.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`cyborg: ${outputMessage(error)}\n`);
  process.exit(1);
});
// There is nobody left to be told.
process.stderr.on('error', () => process.exit(1));

// Not process.exit(): what was written to a pipe may still be on its way.
process.exitCode = await runCli(process.argv.slice(2), io);
