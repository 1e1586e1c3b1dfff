/** Servers of Nova: booted, acted on, looked at and taken away again. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { asList, asObject, asText, isObject, textOrNull } from '@cyborg/openstack/reader';
import type { Session } from '@cyborg/openstack/session';
import { onTestFinished } from 'vitest';

import { sessionOf, type LabUser } from './lab.ts';
import { Hopeless, until } from './until.ts';

/** `networks: none` is 2.37, the fault's text for its owner older. */
const headers = { 'openstack-api-version': 'compute 2.79' };
const nova = { type: 'compute', service: 'Nova', headers } as const;
/** Overloaded, the lab takes up to a minute to boot a guest. */
const bootSeconds = 180;
const goneSeconds = 120;

export interface ServerView {
  readonly status: string;
  /** What Nova is doing with it; null: nothing. */
  readonly task: string | null;
  readonly fault: string;
  /** The compute host that has taken it; only an admin is told. */
  readonly host: string | null;
}

export interface Server {
  readonly id: string;
  readonly name: string;
  /** undefined: Nova has none (any more). */
  look(): Promise<ServerView | undefined>;
  /** `{ reboot: { type: 'HARD' } }`, … */
  act(action: object): Promise<void>;
  /** Waits until Nova has done what it does, and the status is this one. */
  reach(status: string): Promise<ServerView>;
  /** Until it is ACTIVE or ERROR. */
  settle(): Promise<ServerView>;
  remove(): Promise<void>;
  awaitGone(): Promise<void>;
  /** What the guest has printed since it began. */
  console(): Promise<string>;
}

export interface Boot {
  readonly flavor: string;
  readonly user?: LabUser;
  /** Instead of the one that the scheduler takes; only an admin may say so. */
  readonly host?: string;
}

/** Sends the boot; the server goes with the test. */
export async function bootServer({ flavor, user = 'demo', host }: Boot): Promise<Server> {
  const session = sessionOf(user);
  onTestFinished(() => session[Symbol.dispose]());
  const name = `f-${flavor}-${Math.trunc(performance.now())}`;
  const [imageRef, flavorRef] = await Promise.all([
    imageId(session, 'tiny'),
    flavorId(session, flavor),
  ]);
  const place = host === undefined ? {} : { availability_zone: `nova:${host}` };
  const body = { server: { name, imageRef, flavorRef, networks: 'none', ...place } };
  const answer = await session.request({ ...nova, method: 'POST', path: '/servers', body });
  const made = asObject(asObject(answer.body, 'the answer')['server'], 'server');
  const server = serverOf(session, { id: asText(made['id'], 'id'), name });
  // A session of its own: the first one may be closed by then.
  onTestFinished(async () => {
    using admin = sessionOf('admin');
    const rest = serverOf(admin, server);
    await until({ what: `${name} is deleted`, seconds: goneSeconds }, async () => {
      await rest.remove();
      return true;
    });
    await rest.awaitGone();
  });
  return server;
}

/** @throws when it does not become ACTIVE. */
export async function bootActive(boot: Boot): Promise<Server> {
  const server = await bootServer(boot);
  await server.reach('ACTIVE');
  return server;
}

function serverOf(session: Session, { id, name }: { id: string; name: string }): Server {
  const path = `/servers/${id}`;
  const look = async (): Promise<ServerView | undefined> => {
    const answer = await session.request({ ...nova, method: 'GET', path, accept: [404] });
    if (answer.status === 404) return undefined;
    return toView(asObject(asObject(answer.body, 'the answer')['server'], 'server'));
  };
  const act = async (body: object): Promise<unknown> => {
    const request = { ...nova, method: 'POST', path: `${path}/action`, body } as const;
    return (await session.request(request)).body;
  };
  const reach = (statuses: readonly string[]): Promise<ServerView> =>
    until({ what: `${name} is ${statuses.join(' or ')}`, seconds: bootSeconds }, async () => {
      const view = await look();
      if (view === undefined) throw new Hopeless(`${name} is gone`);
      if (view.task !== null) return undefined;
      if (statuses.includes(view.status)) return view;
      if (view.status === 'ERROR') throw new Hopeless(`${name} is ERROR: ${view.fault}`);
      return undefined;
    });
  return {
    id,
    name,
    look,
    act: async (action) => void (await act(action)),
    reach: (status) => reach([status]),
    settle: () => reach(['ACTIVE', 'ERROR']),
    remove: async () =>
      void (await session.request({ ...nova, method: 'DELETE', path, accept: [404] })),
    awaitGone: async () => {
      await until({ what: `${name} is gone`, seconds: goneSeconds }, async () =>
        (await look()) === undefined ? true : undefined,
      );
    },
    console: async () => {
      const said = asObject(await act({ 'os-getConsoleOutput': {} }), 'the answer');
      return asText(said['output'], 'output');
    },
  };
}

function toView(server: Readonly<Record<string, unknown>>): ServerView {
  const { fault } = server;
  return {
    status: asText(server['status'], 'status'),
    task: textOrNull(server['OS-EXT-STS:task_state'], 'task_state'),
    fault: isObject(fault) ? String(fault['message']) : '',
    host: textOrNull(server['OS-EXT-SRV-ATTR:host'] ?? null, 'host'),
  };
}

async function imageId(session: Session, name: string): Promise<string> {
  const request = { type: 'image', service: 'Glance', method: 'GET', path: '/v2/images' } as const;
  const { body } = await session.request({ ...request, query: { name } });
  const [image] = asList(asObject(body, 'the answer')['images'], 'images');
  return asText(asObject(image, `the image ${name}`)['id'], 'id');
}

export async function imageOf(name: string): Promise<string> {
  using session = sessionOf('admin');
  return await imageId(session, name);
}

async function flavorId(session: Session, name: string): Promise<string> {
  const { body } = await session.request({ ...nova, method: 'GET', path: '/flavors' });
  for (const each of asList(asObject(body, 'the answer')['flavors'], 'flavors')) {
    const flavor = asObject(each, 'a flavor');
    if (flavor['name'] === name) return asText(flavor['id'], 'id');
  }
  throw new Error(`there is no flavor ${name}`);
}

/** A flavor with a device profile; both go with the file's tests. */
export async function makeFlavor(name: string, profile: string): Promise<AsyncDisposable> {
  using session = sessionOf('admin');
  await removeFlavor(session, name);
  const flavor = { name, ram: 128, vcpus: 1, disk: 1 };
  const made = await session.request({
    ...nova,
    method: 'POST',
    path: '/flavors',
    body: { flavor },
  });
  const { id } = asObject(asObject(made.body, 'the answer')['flavor'], 'flavor');
  const path = `/flavors/${asText(id, 'id')}/os-extra_specs`;
  const body = { extra_specs: { 'accel:device_profile': profile } };
  await session.request({ ...nova, method: 'POST', path, body });
  return {
    async [Symbol.asyncDispose]() {
      using again = sessionOf('admin');
      await removeFlavor(again, name);
    },
  };
}

async function removeFlavor(session: Session, name: string): Promise<void> {
  const id = await flavorId(session, name).catch(() => undefined);
  if (id !== undefined) {
    await session.request({ ...nova, method: 'DELETE', path: `/flavors/${id}`, accept: [404] });
  }
}

const run = promisify(execFile);

/** What our agent has plugged into the domain now: the aliases of its devices in the live XML. */
export async function pluggedInto(serverId: string): Promise<string[]> {
  const words = ['-c', 'qemu:///system', 'dumpxml', serverId];
  const { stdout } = await run('/usr/bin/virsh', words, { timeout: 30_000 });
  return [...stdout.matchAll(/<alias name='(ua-cyborg-[^']+)'/g)].map(([, alias]) => alias ?? '');
}
