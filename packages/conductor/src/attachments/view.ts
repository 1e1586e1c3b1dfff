import { deviceName } from '@cyborg/model/epoch';
import type { ListedAttachmentRow } from '@cyborg/store/attachments';

export interface AttachmentView {
  readonly id: string;
  readonly accelerator_id: string | null;
  readonly accelerator_name: string | null;
  readonly accelerator_type: string | null;
  readonly instance_id: string | null;
  readonly host: string | null;
  readonly project_id: string;
  readonly user_id: string;
  readonly origin: string;
  readonly state: string;
  readonly reason: string | null;
  readonly plugged_by: string;
  readonly observed: string;
  readonly device_name: string | null;
  readonly profile_id: string | null;
  readonly operation_id: string | null;
  readonly created_at: Date;
  readonly updated_at: Date | null;
}

export function toAttachmentView(row: ListedAttachmentRow): AttachmentView {
  return {
    id: row.id,
    accelerator_id: row.accelerator_id,
    accelerator_name: row.accelerator_name,
    accelerator_type: row.accelerator_type,
    instance_id: row.instance_id,
    host: row.host,
    project_id: row.project_id,
    user_id: row.user_id,
    origin: row.origin,
    state: row.state,
    reason: row.reason,
    plugged_by: row.plugged_by,
    observed: row.observed,
    device_name: row.device_epoch > 0 ? deviceName(row.id, row.device_epoch) : null,
    profile_id: row.profile_id,
    operation_id: row.operation_id,
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}
