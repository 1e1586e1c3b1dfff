/** For tests of attaching: a host with accelerators and guests, and an admin who attaches and detaches. */
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';

import { makeAttachmentHandlers } from '../src/attachments/handlers.ts';
import { makeTestDeps } from '../src/test-deps.ts';

export const admin = callerOf('admin', 'root');

export async function setUp({ count = 3, instances: guests = 2 } = {}) {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const host = await addHost(db);
  const accelerators = await addAccelerators(db, await addBackend(db, host), { count });
  const instances: { readonly id: string }[] = [];
  for (let n = 0; n < guests; n++) instances.push(await addInstance(db, host));
  const handlers = makeAttachmentHandlers(deps);
  const attach = (body: object = {}, instance = instances[0]) =>
    handlers.createAttachments(admin, {
      params: { instance_id: instance!.id },
      query: {},
      body,
    });
  const detach = (query: object = {}, instance = instances[0]) =>
    handlers.deleteAttachments(admin, {
      params: { instance_id: instance!.id },
      query,
      body: undefined,
    });
  return { database, db, deps, host, accelerators, instances, handlers, attach, detach };
}
