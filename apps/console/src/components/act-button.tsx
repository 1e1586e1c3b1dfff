/** A button for an act: offered to those who may, with the reason to those who may not. */
import { Button, Tooltip, type ButtonProps } from '@patternfly/react-core';
import type { Action } from '@cyborg/model/policy';
import type { ReactElement, ReactNode } from 'react';

import { usePermission } from '../session/who.ts';

export interface ActButtonProps {
  readonly action: Action;
  /** Why not now, whoever asks. */
  readonly obstacle?: string | undefined;
  readonly onClick: () => void;
  readonly children: ReactNode;
  readonly variant?: ButtonProps['variant'];
  readonly size?: ButtonProps['size'];
}

export function ActButton(props: ActButtonProps): ReactElement {
  const { action, obstacle, onClick, children, variant = 'secondary', size } = props;
  const { isAllowed, reason } = usePermission(action);
  const why = isAllowed ? obstacle : reason;
  const button = (
    <Button
      variant={variant}
      {...(size === undefined ? {} : { size })}
      isAriaDisabled={why !== undefined}
      onClick={onClick}
    >
      {children}
    </Button>
  );
  return why === undefined ? button : <Tooltip content={why}>{button}</Tooltip>;
}
