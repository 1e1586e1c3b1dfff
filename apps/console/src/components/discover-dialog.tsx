import type { ReactElement } from 'react';

import { ActDialog } from './act-dialog.tsx';
import { useToasts } from './toasts.tsx';

export interface DiscoverDialogProps {
  readonly host?: string;
  /** `host@backend`. */
  readonly backend?: string;
  readonly close: () => void;
}

export function DiscoverDialog({ host, backend, close }: DiscoverDialogProps): ReactElement {
  const { follow } = useToasts();
  const body = {
    ...(host === undefined ? {} : { host }),
    ...(backend === undefined ? {} : { backend }),
  };
  return (
    <ActDialog
      name="createDiscovery"
      title={`Discover ${backend ?? host ?? 'everywhere'}`}
      verb="Discover now"
      args={{ body }}
      close={close}
      onDone={({ id }) => follow(id)}
    />
  );
}
