import type { ConductorDeps } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import type { DryRunQuery, Handler, Input } from '../handler.ts';
import { act } from '../transaction.ts';
import { checkReport, putReport, type ConformanceReport } from './conformance.ts';
import { toVersionView, type DriverVersionView } from './version-view.ts';
import { checkVersionUnchanged, findVersion } from './versions.ts';

type Params = { readonly driver_id: string; readonly version: string };

export interface ConformanceHandlers {
  readonly putConformanceReport: Handler<
    Input<Params, DryRunQuery, ConformanceReport>,
    DriverVersionView | DryRunView
  >;
}

export function makeConformanceHandlers(deps: ConductorDeps): ConformanceHandlers {
  return {
    async putConformanceReport(caller, { params, query, body, ifMatch }) {
      if (query.dry_run === true) {
        return dryRun(deps, async ({ tx }) => {
          const row = await findVersion(tx, params);
          checkVersionUnchanged(ifMatch, row);
          checkReport(body, row);
          const change = `version ${row.version} is given its report`;
          return [{ subject_kind: 'driver', subject_id: row.driver_id, change }];
        });
      }
      return act(deps, async (running) => {
        const row = await findVersion(running.tx, params, { isLocked: true });
        checkVersionUnchanged(ifMatch, row);
        checkReport(body, row);
        return toVersionView(await putReport(running, caller, { row, report: body }));
      });
    },
  };
}
