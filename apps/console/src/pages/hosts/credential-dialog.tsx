import type { ReactElement } from 'react';

import { ActDialog } from '../../components/act-dialog.tsx';
import { useToasts } from '../../components/toasts.tsx';
import type { Host } from './hosts-page.tsx';
import type { JoinToken } from './join-token-shown.tsx';

export interface RevokeDialogProps {
  readonly host: Host;
  readonly close: () => void;
}

export function RevokeDialog({ host, close }: RevokeDialogProps): ReactElement {
  const { say } = useToasts();
  return (
    <ActDialog
      name="revokeHost"
      title={`Revoke ${host.name}`}
      verb="Revoke"
      isDangerous
      args={{ params: { host: host.name } }}
      close={close}
      onDone={() => say(`The agent of ${host.name} may say nothing more.`)}
    >
      <p>
        For a host that is lost or in wrong hands. Enrol again makes it a host of yours once more.
      </p>
    </ActDialog>
  );
}

export interface ReenrollDialogProps extends RevokeDialogProps {
  readonly onDone: (token: JoinToken) => void;
}

export function ReenrollDialog({ host, close, onDone }: ReenrollDialogProps): ReactElement {
  return (
    <ActDialog
      name="reenrollHost"
      title={`Enrol ${host.name} again`}
      verb="Make a token"
      isDangerous
      args={{ params: { host: host.name } }}
      close={close}
      onDone={onDone}
    >
      <p>Its agent is shut out until it is started with the token that is shown next.</p>
    </ActDialog>
  );
}
