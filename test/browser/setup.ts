/** One demo fleet for all files, as `npm start -- --demo` makes it, and the passwords of its users. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

import { makeTempFolder } from '@cyborg/testing/embedded';
import type { TestProject } from 'vitest/node';

import { makePublisher } from '../system/acme.ts';
import { Demo, findChromium, noChromium } from './demo.ts';

export interface BrowserScene {
  readonly url: string;
  readonly stateDir: string;
  /** For files of the tests. */
  readonly folder: string;
  /** PEM of the key that the demo trusts: what it has signed is taken. */
  readonly publisherPem: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    /** Undefined: there is no browser. */
    scene: BrowserScene | undefined;
  }
}

export async function setup(project: TestProject): Promise<(() => Promise<void>) | void> {
  if (findChromium() === undefined) {
    if (process.env['CI'] === 'true') throw new Error(noChromium);
    console.error(noChromium);
    project.provide('scene', undefined);
    return undefined;
  }
  const folder = makeTempFolder();
  const home = join(folder.path, 'home');
  mkdirSync(home);
  const demo = await Demo.open(join(folder.path, 'state'), home);
  const publisher = makePublisher(folder.path);
  await demo.start(['--driver-key', publisher.publicFile]);
  project.provide('scene', {
    url: demo.url,
    stateDir: demo.stateDir,
    folder: folder.path,
    publisherPem: publisher.privatePem,
  });
  return async () => {
    await demo[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  };
}
