import type { Caller } from '@cyborg/model/caller';
import { notFound } from '@cyborg/model/v2/fault';
import { parseUuid } from '@cyborg/model/v2/uuid';
import {
  deployableSorts,
  findV2Deployable,
  streamDeployables,
  type V2DeployableRow,
} from '@cyborg/store/v2/deployables';

import type { ConductorDeps, Db } from '../deps.ts';
import { orderOf, parseFilters, type Query } from './filters.ts';
import { parseProgramPatch, programDeployable } from './program.ts';

export interface V2DeployableHandlers {
  readonly listDeployables: (query: Query) => AsyncIterable<readonly V2DeployableRow[]>;
  /** @throws V2Fault 400 for what is no UUID, 404. */
  readonly showDeployable: (id: string) => Promise<V2DeployableRow>;
  readonly programDeployable: (
    caller: Caller,
    given: { readonly id: string; readonly body: unknown },
  ) => Promise<V2DeployableRow>;
}

export function makeV2DeployableHandlers(deps: ConductorDeps): V2DeployableHandlers {
  return {
    listDeployables(query) {
      const filters = parseFilters(query);
      const order = orderOf(filters, { sorts: deployableSorts, isFiltered: false });
      return streamDeployables(deps.db, { name: filters.get('name'), ...order });
    },
    showDeployable: (id) => findDeployable(deps.db, id),
    async programDeployable(caller, { id, body }) {
      const imageId = parseProgramPatch(body);
      const row = await findDeployable(deps.db, id);
      await programDeployable(deps, { caller, deployable: row, imageId });
      return findDeployable(deps.db, id);
    },
  };
}

async function findDeployable(db: Db, id: string): Promise<V2DeployableRow> {
  const row = await findV2Deployable(db, parseUuid(id, 'uuid'));
  if (row === undefined) throw notFound('Deployable', `with uuid=${id}`);
  return row;
}
