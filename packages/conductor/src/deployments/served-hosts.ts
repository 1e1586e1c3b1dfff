import type { Db } from '../deps.ts';
import { selects } from './selectors.ts';

/** Names of the hosts that some backend of the driver's deployment is for. */
export async function listServedHosts(db: Db, driverId: string): Promise<string[]> {
  const backends = await db
    .selectFrom('deployment_backend')
    .innerJoin('deployment', 'deployment.id', 'deployment_backend.deployment_id')
    .select('deployment_backend.selector')
    .where('deployment.driver_id', '=', driverId)
    .execute();
  const hosts = await db.selectFrom('host').select(['id', 'name', 'labels']).execute();
  return hosts
    .filter((host) => backends.some(({ selector }) => selects(selector, host)))
    .map(({ name }) => name);
}
