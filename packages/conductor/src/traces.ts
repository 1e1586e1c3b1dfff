/** Whose request an installation is changed for: work by state rows goes on in the trace that began it. */
import { isTracing } from '@cyborg/service/tracing';
import { findDriverTraceParent, listInstallationTraceParents } from '@cyborg/store/traces';

import type { Db } from './deps.ts';

/** traceparent of the newest operation under way about a driver; null when nobody traces. */
export async function findDriverTrace(db: Db, driverId: string): Promise<string | null> {
  return isTracing() ? findDriverTraceParent(db, driverId) : null;
}

/** The same by installation, for those of one host. */
export async function findInstallationTraces(
  db: Db,
  hostId: string,
): Promise<ReadonlyMap<string, string>> {
  return isTracing() ? listInstallationTraceParents(db, hostId) : new Map();
}
