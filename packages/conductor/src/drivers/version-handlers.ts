import { protocolOfAgents } from '@cyborg/driver-package/protocol';

import type { ConductorDeps } from '../deps.ts';
import { dryRun, type Change, type DryRunView } from '../dry-run.ts';
import type { DryRunQuery, Handler, Input } from '../handler.ts';
import { idempotently } from '../idempotency.ts';
import { act } from '../transaction.ts';
import { withStoredPackage } from './store-package.ts';
import { toVersionView, type DriverVersionView } from './version-view.ts';
import {
  addVersion,
  approve,
  checkApproval,
  checkDeletion,
  deleteVersion,
  findVersion,
  planUpload,
  trustOf,
} from './versions.ts';

type Params = { readonly driver_id: string; readonly version: string };
type UploadQuery = DryRunQuery & { readonly signature?: string | undefined };
type ApproveBody = { readonly digest?: string | undefined };
type Acted = DriverVersionView | DryRunView;

export interface DriverVersionHandlers {
  readonly uploadDriver: Handler<Input<object, UploadQuery, AsyncIterable<Uint8Array>>, Acted>;
  readonly approveDriverVersion: Handler<Input<Params, DryRunQuery, ApproveBody>, Acted>;
  readonly deleteDriverVersion: Handler<Input<Params, DryRunQuery>, null | DryRunView>;
}

export function makeDriverVersionHandlers(deps: ConductorDeps): DriverVersionHandlers {
  const trust = trustOf(deps);
  return {
    async uploadDriver(caller, { query, body, idempotencyKey: key }) {
      const checks = { trust, protocol: protocolOfAgents };
      return withStoredPackage(deps, body, async (stored) => {
        const uploaded = { ...stored, signature: query.signature ?? null };
        const { manifest, digest } = stored;
        if (query.dry_run === true) {
          return dryRun(deps, async ({ tx }) => {
            const known = await planUpload(tx, uploaded, checks);
            return known === undefined
              ? [changeOf(manifest.id, `version ${manifest.version} is uploaded`)]
              : [];
          });
        }
        const request = { caller, method: 'POST', path: '/v3/drivers', key, body: { digest } };
        return act(deps, (running) =>
          idempotently(running, request, async () => {
            const known = await planUpload(running.tx, uploaded, checks);
            const row = known ?? (await addVersion(running, caller, { ...uploaded, trust }));
            return toVersionView(row);
          }),
        );
      });
    },

    async approveDriverVersion(caller, { params, query, body, idempotencyKey: key }) {
      const check = { digest: body.digest, trust };
      if (query.dry_run === true) {
        return dryRun(deps, async ({ tx }) => {
          const row = await findVersion(tx, params);
          checkApproval(row, check);
          return row.state === 'approved'
            ? []
            : [changeOf(row.driver_id, `version ${row.version} is approved`)];
        });
      }
      const path = `/v3/drivers/${params.driver_id}/versions/${params.version}/approve`;
      return act(deps, (running) =>
        idempotently(running, { caller, method: 'POST', path, key, body }, async () => {
          const row = await findVersion(running.tx, params, { isLocked: true });
          checkApproval(row, check);
          return toVersionView(await approve(running, caller, { row, trust }));
        }),
      );
    },

    async deleteDriverVersion(caller, { params, query, ifMatch }) {
      if (query.dry_run === true) {
        return dryRun(deps, async ({ tx }) => {
          const row = await findVersion(tx, params);
          await checkDeletion(tx, row, ifMatch);
          return [changeOf(row.driver_id, `version ${row.version} is deleted`)];
        });
      }
      return act(deps, async (running) => {
        const row = await findVersion(running.tx, params, { isLocked: true });
        await checkDeletion(running.tx, row, ifMatch);
        await deleteVersion(running, caller, row);
        return null;
      });
    },
  };
}

function changeOf(driverId: string, change: string): Change {
  return { subject_kind: 'driver', subject_id: driverId, change };
}
