import { Checkbox } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';

import { useRead } from '../../api/read.ts';
import { ActDialog } from '../../components/act-dialog.tsx';
import { useToasts } from '../../components/toasts.tsx';
import { togetherWith, useWhole } from '../../components/whole-group.ts';
import { useIsAdmin } from '../../session/who.ts';
import type { Instance } from './instances-page.tsx';

export interface DetachFromDialogProps {
  readonly instance: Instance;
  /** Absent: all that is of origin cyborg. */
  readonly attachment?: {
    readonly accelerator_id: string | null;
    readonly accelerator_name: string | null;
  };
  readonly close: () => void;
}

export function DetachFromDialog({
  instance,
  attachment,
  close,
}: DetachFromDialogProps): ReactElement {
  const { follow } = useToasts();
  const isAdmin = useIsAdmin();
  const [force, setForce] = useState(false);
  const { etag } = useRead('listAttachments', {
    params: { instance_id: instance.id },
    query: { limit: 1000 },
  });
  const accelerator = attachment?.accelerator_id ?? undefined;
  const what = attachment === undefined ? 'everything' : (attachment.accelerator_name ?? 'it');
  const whole = useWhole(instance.id, accelerator);
  const query = {
    ...(whole === undefined ? {} : { accelerators: [...whole.ids] }),
    ...(force ? { force } : {}),
  };
  const isAsking = accelerator !== undefined && whole === undefined;
  const together = whole === undefined ? undefined : togetherWith(whole);
  return (
    <ActDialog
      name="deleteAttachments"
      title={`Detach ${what} from ${instance.name}`}
      verb="Detach"
      isDangerous
      args={isAsking ? undefined : { params: { instance_id: instance.id }, query }}
      ifMatch={etag}
      close={close}
      onDone={({ id }) => follow(id)}
    >
      {together !== undefined && <p>{together}</p>}
      {isAdmin && (
        <Checkbox
          id="detach-force"
          label="Give up on the host, which will not answer: its device is then nobody's"
          isChecked={force}
          onChange={(_event, checked) => setForce(checked)}
        />
      )}
    </ActDialog>
  );
}
