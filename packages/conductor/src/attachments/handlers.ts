import { listAcceleratorAttachments, listInstanceAttachments } from '@cyborg/store/attachments';

import { readAccelerator } from '../accelerators/view.ts';
import type { ConductorDeps } from '../deps.ts';
import type { DryRunView } from '../dry-run.ts';
import { withEtag } from '../etag.ts';
import type { Handler, Input } from '../handler.ts';
import type { OperationView } from '../operations/read-operations.ts';
import {
  idFromMarker,
  numberFromMarker,
  rowsWanted,
  toPage,
  type Page,
  type PageQuery,
} from '../page.ts';
import { projectOf, scopeOf } from '../scope.ts';
import { readInstance } from './attach-context.ts';
import { etagOfAttachments } from './attachments-etag.ts';
import type { DeleteAttachmentsInput } from './choose-held.ts';
import { createAttachments, type CreateAttachmentsInput } from './create-attachments.ts';
import { deleteAttachments } from './delete-attachments.ts';
import { toAttachmentView, type AttachmentView } from './view.ts';

export interface AttachmentHandlers {
  readonly listAttachments: Handler<
    Input<{ readonly instance_id: string }, PageQuery>,
    Page<AttachmentView>
  >;
  readonly listAcceleratorAttachments: Handler<
    Input<{ readonly id: string }, PageQuery>,
    Page<AttachmentView>
  >;
  readonly createAttachments: Handler<CreateAttachmentsInput, OperationView | DryRunView>;
  readonly deleteAttachments: Handler<DeleteAttachmentsInput, OperationView | DryRunView>;
}

export function makeAttachmentHandlers(deps: ConductorDeps): AttachmentHandlers {
  return {
    async listAttachments(caller, { params, query }) {
      const { instance } = await readInstance(deps.db, caller, {
        instance: params.instance_id,
        lock: false,
      });
      const rows = await listInstanceAttachments(deps.db, {
        instanceId: instance.id,
        after: idFromMarker(query.marker),
        limit: rowsWanted(query),
      });
      const page = toPage(rows, query, { keyOf: (row) => [row.id], toItem: toAttachmentView });
      return withEtag(page, await etagOfAttachments(deps.db, instance.id));
    },
    async listAcceleratorAttachments(caller, { params, query }) {
      await readAccelerator(deps.db, caller, params.id);
      const rows = await listAcceleratorAttachments(deps.db, {
        acceleratorId: params.id,
        projectId: projectOf(scopeOf(caller)),
        before: numberFromMarker(query.marker),
        limit: rowsWanted(query),
      });
      return toPage(rows, query, {
        keyOf: (row) => [String(row.number)],
        toItem: toAttachmentView,
      });
    },
    createAttachments: (caller, input) => createAttachments(deps, caller, input),
    deleteAttachments: (caller, input) => deleteAttachments(deps, caller, input),
  };
}
