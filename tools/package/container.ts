/** Does the steps of the Containerfile in a root folder, and runs what they make as its image would be. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { parseContainerfile } from './container-file.ts';
import { inside, password, say, searchPath, stop, untilServed } from './in-root.ts';

const recipe = join(import.meta.dirname, 'Containerfile');

interface Image {
  readonly environment: Record<string, string>;
  user: string;
  entrypoint: readonly string[];
}

/**
 * @param root  with what the base image has; its /proc, /dev and network are those of a container.
 * @param archive  the server's tar.gz.
 */
export async function tryContainer(root: string, archive: string): Promise<void> {
  const image = build(root, archive);
  say('the steps of the Containerfile are done');
  const as = ['setpriv', `--reuid=${image.user}`, `--regid=${image.user}`, '--clear-groups'];
  const run = [...as, 'env', ...variables(image), ...image.entrypoint];
  const user = ['user-set', 'admin', '--role', 'admin', '--project', 'admin', '--password-stdin'];
  inside(root, [...run, ...user], `${password}\n`);
  const options = ['--listen', '0.0.0.0:6680', '--behind-tls-proxy', '--log-level', 'warn'];
  const server = spawn('chroot', [root, ...run, ...options], {
    env: { PATH: searchPath },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await untilServed(server);
  await stop(server, 'the container');
}

function build(root: string, archive: string): Image {
  const [, folder = '', name = ''] = /^(.*)\/(.*)\.tar\.gz$/.exec(archive) ?? [];
  const image: Image = { environment: {}, user: 'root', entrypoint: [] };
  for (const { word, rest } of parseContainerfile(readFileSync(recipe, 'utf8'))) {
    const text = rest.replaceAll('${ARCHIVE}', name);
    if (word === 'RUN') inside(root, ['env', `ARCHIVE=${name}`, 'sh', '-ec', rest]);
    else if (word === 'ADD') unpack(root, folder, text);
    else if (word === 'ENV') setVariable(image, text);
    else if (word === 'USER') image.user = text;
    else if (word === 'ENTRYPOINT') image.entrypoint = wordsOf(text);
    else if (!['FROM', 'ARG', 'VOLUME', 'EXPOSE'].includes(word)) {
      throw new Error(`Containerfile: ${word} is not tried; teach tools/package/container.ts.`);
    }
  }
  return image;
}

/** A local archive is unpacked by ADD. */
function unpack(root: string, folder: string, text: string): void {
  const [from = '', to = ''] = text.split(/ +/);
  mkdirSync(join(root, to), { recursive: true });
  execFileSync('tar', ['-C', join(root, to), '-xzf', join(folder, from)]);
}

function setVariable({ environment }: Image, text: string): void {
  const [, key = '', value = ''] = /^(\w+)=(.*)$/.exec(text) ?? [];
  environment[key] = value;
}

function wordsOf(text: string): string[] {
  const words: string[] = JSON.parse(text);
  return words;
}

function variables({ environment }: Image): string[] {
  return Object.entries(environment).map(([key, value]) => `${key}=${value}`);
}
