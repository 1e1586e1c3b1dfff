/** For tests of attaching in Nova mode: a libvirt host, a server on it, accelerators, and a cloud beside. */
import { CallerToken } from '@cyborg/model/caller-token';
import type { Caller, Role } from '@cyborg/model/caller';
import { toJson } from '@cyborg/store/json';
import { makeTestClock } from '@cyborg/testing/clock';
import { carriedOut } from '@cyborg/testing/carried-out';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';

import { makeAttachmentHandlers } from '../src/attachments/handlers.ts';
import type { AttachBody } from '../src/attachments/wishes.ts';
import type { Reconciler } from '../src/reconciler.ts';
import { novaReconcilers } from '../src/nova/reconcilers.ts';
import { makeTestDeps } from '../src/test-deps.ts';
import { addServer, openTestOpenStack, type TestOpenStack } from './openstack.ts';

const idle = new AbortController().signal;
const plugs = ['virtio-rng'];

/** As Keystone's authenticator makes one: with a token that Nova knows. */
export function tokenCaller(cloud: TestOpenStack, role: Role, projectId: string): Caller {
  const token = `token-of-${role}-of-${projectId}`;
  cloud.tokens.set(token, projectId);
  return { ...callerOf(role, projectId), token: new CallerToken(token) };
}

export async function openNovaBench({ count = 4 }: { readonly count?: number } = {}) {
  const database = await openTestDatabase();
  const { db } = database;
  const cloud = await openTestOpenStack();
  const clock = makeTestClock();
  const deps = { ...makeTestDeps({ db, clock }), openstack: cloud.openstack };
  const healthy = [{ hypervisor: 'libvirt', healthy: true, reason: null, plugs }];
  const host = await addHost(db, { name: 'node-1', plugs: toJson(healthy) });
  const backend = await addBackend(db, host);
  const accelerators = await addAccelerators(db, backend, { count, type: 'ENTROPY' });
  const instance = await addInstance(db, host, {
    name: 'guest',
    hypervisor: 'libvirt',
    plugs: toJson(plugs),
    project_id: null,
    project_source: null,
  });
  const server = addServer(cloud, instance.id);
  const handlers = makeAttachmentHandlers(deps);
  const reconcilers = new Map(novaReconcilers(deps).map((one) => [one.name, one]));
  const member = tokenCaller(cloud, 'member', 'alpha');
  return {
    db,
    cloud,
    clock,
    deps,
    host,
    backend,
    accelerators,
    instance,
    server,
    handlers,
    member,
    async attach(body: AttachBody = {}, caller = member, id = instance.id) {
      const params = { instance_id: id };
      return carriedOut(await handlers.createAttachments(caller, { params, query: {}, body }));
    },
    async detach(caller = member) {
      const params = { instance_id: instance.id };
      const input = { params, query: {}, body: undefined };
      return carriedOut(await handlers.deleteAttachments(caller, input));
    },
    pass(name: string): ReturnType<Reconciler['pass']> {
      const reconciler = reconcilers.get(name);
      if (reconciler === undefined) throw new Error(`there is no reconciler ${name}`);
      return reconciler.pass(idle);
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await cloud[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
    },
  };
}

export type NovaBench = Awaited<ReturnType<typeof openNovaBench>>;
