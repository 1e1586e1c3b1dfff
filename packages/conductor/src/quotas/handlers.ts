import { isAdmin, type Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import {
  liftQuota,
  lockQuotas,
  readQuota,
  setQuota,
  takeTurnOnQuota,
  type QuotaUse,
} from '@cyborg/store/quotas';

import type { ConductorDeps, Db } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import { checkEtag, etagOfContent, withEtag } from '../etag.ts';
import type { DryRunQuery, Handler, Input } from '../handler.ts';
import { recordEvents } from '../record-event.ts';
import { act } from '../transaction.ts';

export interface QuotaView {
  readonly project_id: string;
  readonly limits: readonly QuotaUse[];
}

export interface QuotaEdit {
  /** Null lifts the limit of a type. */
  readonly limits: readonly { readonly type: string; readonly accelerators_max: number | null }[];
}

type ByProject = { readonly project_id: string };

export interface QuotaHandlers {
  readonly showQuota: Handler<Input<ByProject>, QuotaView>;
  readonly updateQuota: Handler<Input<ByProject, DryRunQuery, QuotaEdit>, QuotaView | DryRunView>;
}

export function makeQuotaHandlers(deps: ConductorDeps): QuotaHandlers {
  return {
    async showQuota(caller, { params }) {
      checkOwn(caller, params.project_id);
      return view(deps.db, params.project_id);
    },
    async updateQuota(caller, { params: { project_id: projectId }, query, body, ifMatch }) {
      checkTypes(body);
      if (query.dry_run === true) {
        return dryRun(deps, async ({ tx }) => {
          await checkUnchanged(tx, projectId, ifMatch);
          return body.limits.map(({ type, accelerators_max: max }) => ({
            subject_kind: 'quota',
            subject_id: projectId,
            change: max === null ? `lift the limit of ${type}` : `at most ${max} of ${type}`,
          }));
        });
      }
      return act(deps, async (current) => {
        const { tx, now } = current;
        await takeTurnOnQuota(tx, projectId);
        await lockQuotas(tx, projectId);
        await checkUnchanged(tx, projectId, ifMatch);
        for (const { type, accelerators_max: max } of body.limits) {
          if (max === null) await liftQuota(tx, { projectId, type });
          else await setQuota(tx, { projectId, type, max, now });
        }
        await recordEvents(current, [
          {
            kind: 'quota.updated',
            subjectKind: 'quota',
            subjectId: projectId,
            projectId,
            userId: caller.userId,
            data: { limits: body.limits },
          },
        ]);
        return view(tx, projectId);
      });
    },
  };
}

async function view(db: Db, projectId: string): Promise<QuotaView> {
  const limits = await readQuota(db, projectId);
  return withEtag({ project_id: projectId, limits }, etagOfLimits(limits));
}

/** Of what is set; what is used changes by itself. */
function etagOfLimits(limits: readonly QuotaUse[]): string {
  const set = limits.filter((limit) => limit.accelerators_max !== null);
  return etagOfContent(set.map((limit) => [limit.type, limit.accelerators_max]));
}

async function checkUnchanged(
  db: Db,
  projectId: string,
  ifMatch: string | undefined,
): Promise<void> {
  if (ifMatch === undefined) return;
  const current = etagOfLimits(await readQuota(db, projectId));
  checkEtag(ifMatch, current, `the quota of project ${projectId}`);
}

function checkOwn(caller: Caller, projectId: string): void {
  if (isAdmin(caller) || projectId === caller.projectId) return;
  throw new ServiceError(
    'forbidden',
    `project_id: only an admin may see the quota of project ${projectId}; yours is ${caller.projectId}.`,
  );
}

function checkTypes({ limits }: QuotaEdit): void {
  const types = limits.map(({ type }) => type);
  const twice = types.find((type, index) => types.indexOf(type) !== index);
  if (twice === undefined) return;
  throw new ServiceError('invalid-input', `limits: type ${twice} is given twice; give it once.`);
}
