/** The commands that people type: our `cyborg`, and Debian's `openstack` with python-cyborgclient. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { asList, asObject, asText, type JsonObject } from '@cyborg/openstack/reader';
import { onTestFinished } from 'vitest';

import { keystoneUrl, labSettings, projectOf, type LabUser } from './lab.ts';

const run = promisify(execFile);
const ourCli = join(import.meta.dirname, '../../apps/cli/src/main.ts');
const commandMs = 180_000;

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function environmentOf(user: LabUser): NodeJS.ProcessEnv {
  const { password, region } = labSettings();
  return {
    PATH: process.env['PATH'],
    HOME: process.env['HOME'],
    OS_AUTH_URL: keystoneUrl,
    OS_IDENTITY_API_VERSION: '3',
    OS_REGION_NAME: region,
    OS_USERNAME: user,
    OS_PASSWORD: password,
    OS_PROJECT_NAME: projectOf(user),
    OS_USER_DOMAIN_NAME: 'Default',
    OS_PROJECT_DOMAIN_NAME: 'Default',
  };
}

async function say(file: string, words: string[], env: NodeJS.ProcessEnv): Promise<Said> {
  try {
    return { code: 0, ...(await run(file, words, { env, timeout: commandMs })) };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const { code, stdout, stderr } = asObject(error, 'the error');
    if (typeof code !== 'number') throw error;
    return { code, stdout: asText(stdout, 'stdout'), stderr: asText(stderr, 'stderr') };
  }
}

function jsonOf(command: string, said: Said): unknown {
  if (said.code !== 0) throw new Error(`${command} exits ${said.code}: ${said.stderr.trim()}`);
  return JSON.parse(said.stdout);
}

/** Our CLI, with whatever it says and however it ends. */
export function cyborg(user: LabUser, ...words: string[]): Promise<Said> {
  return say(process.execPath, [ourCli, ...words], environmentOf(user));
}

/** @throws when it fails. */
export async function cyborgList(user: LabUser, ...words: string[]): Promise<JsonObject[]> {
  const said = jsonOf(`cyborg ${words.join(' ')}`, await cyborg(user, ...words, '-f', 'json'));
  return asList(said, 'the list').map((each) => asObject(each, 'a row'));
}

/** @throws when it fails. */
export async function cyborgShow(user: LabUser, ...words: string[]): Promise<JsonObject> {
  const said = jsonOf(`cyborg ${words.join(' ')}`, await cyborg(user, ...words, '-f', 'json'));
  return asObject(said, 'the object');
}

export interface OpenStackClient {
  (...words: string[]): Promise<Said>;
  list(...words: string[]): Promise<JsonObject[]>;
  show(...words: string[]): Promise<JsonObject>;
}

interface ClientOptions {
  readonly microversion?: string;
  /** Instead of the catalogue's address. */
  readonly endpoint?: string;
}

/** openstacksdk takes another address than the catalogue's from clouds.yaml alone. */
function cloudWith(user: LabUser, endpoint: string): NodeJS.ProcessEnv {
  const folder = mkdtempSync(join(tmpdir(), 'cyborg-clouds-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const cloud = {
    auth: {
      auth_url: keystoneUrl,
      username: user,
      password: labSettings().password,
      project_name: projectOf(user),
      user_domain_name: 'Default',
      project_domain_name: 'Default',
    },
    region_name: labSettings().region,
    accelerator_endpoint_override: endpoint,
  };
  const file = join(folder, 'clouds.yaml');
  writeFileSync(file, JSON.stringify({ clouds: { relayed: cloud } }), { mode: 0o600 });
  return { OS_CLIENT_CONFIG_FILE: file, OS_CLOUD: 'relayed' };
}

/** `openstack accelerator …` as a user of the lab. */
export function acceleratorClient(user: LabUser, options: ClientOptions = {}): OpenStackClient {
  const client = openStackClient(user, options);
  const own = (words: string[]): string[] => ['accelerator', ...words];
  return Object.assign((...words: string[]) => client(...own(words)), {
    list: (...words: string[]) => client.list(...own(words)),
    show: (...words: string[]) => client.show(...own(words)),
  });
}

/** `openstack …` as a user of the lab. */
export function openStackClient(user: LabUser, options: ClientOptions = {}): OpenStackClient {
  const { PATH, HOME, ...own } = environmentOf(user);
  const env = {
    PATH,
    HOME,
    ...(options.endpoint ? cloudWith(user, options.endpoint) : own),
    ...(options.microversion && { OS_ACCELERATOR_API_VERSION: options.microversion }),
  };
  const client = (...words: string[]): Promise<Said> => say('/usr/bin/openstack', words, env);
  const read = async (words: string[]): Promise<unknown> =>
    jsonOf(`openstack ${words.join(' ')}`, await client(...words, '-f', 'json'));
  return Object.assign(client, {
    list: async (...words: string[]) =>
      asList(await read(words), 'the list').map((each) => asObject(each, 'a row')),
    show: async (...words: string[]) => asObject(await read(words), 'the object'),
  });
}
