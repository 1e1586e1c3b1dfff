/** What can be done with an accelerator, by its state and by who looks. */
import type { ReactElement } from 'react';

import { ActButton } from '../../components/act-button.tsx';
import { useWho } from '../../session/who.ts';
import type { DialogKind } from './accelerator-dialog.tsx';
import type { Accelerator } from './accelerators-page.tsx';

export interface ActsProps {
  readonly accelerator: Accelerator;
  readonly open: (kind: DialogKind) => void;
}

const held = new Set(['attached', 'reserved', 'orphaned']);

export function Acts(props: ActsProps): ReactElement {
  const { accelerator, open } = props;
  const { isOurs } = useStanding(accelerator);
  const notOurs = isOurs ? undefined : 'Only while an instance of your project holds it.';
  return (
    <div className="console-acts">
      {held.has(accelerator.state) ? (
        <ActButton
          action="attachment:delete"
          variant="primary"
          obstacle={notOurs}
          onClick={() => open('detach')}
        >
          Detach
        </ActButton>
      ) : (
        <ActButton
          action="attachment:create"
          variant="primary"
          obstacle={
            accelerator.state === 'available'
              ? undefined
              : `It is ${accelerator.state}, not available.`
          }
          onClick={() => open('attach')}
        >
          Attach
        </ActButton>
      )}
      <Offering {...props} />
      <ActButton action="accelerator:update" obstacle={notOurs} onClick={() => open('edit')}>
        Edit
      </ActButton>
      <OfItsCard {...props} />
    </div>
  );
}

function useStanding({ project_id: holder }: Accelerator): {
  readonly isAdmin: boolean;
  readonly isOurs: boolean;
} {
  const { caller } = useWho();
  const isAdmin = caller.roles.includes('admin');
  return { isAdmin, isOurs: isAdmin || holder === caller.project_id };
}

function Offering({ accelerator, open }: ActsProps): ReactElement {
  const { state } = accelerator;
  const { isAdmin } = useStanding(accelerator);
  const forAdmins = isAdmin
    ? undefined
    : 'Only an admin offers, withholds and cleans accelerators.';
  return (
    <>
      {state === 'cleaning_failed' && (
        <ActButton action="accelerator:update" obstacle={forAdmins} onClick={() => open('clean')}>
          Clean again
        </ActButton>
      )}
      {(state === 'withheld' || state === 'cleaning_failed') && (
        <ActButton action="accelerator:update" obstacle={forAdmins} onClick={() => open('approve')}>
          Approve
        </ActButton>
      )}
      {state !== 'withheld' && (
        <ActButton
          action="accelerator:update"
          obstacle={forAdmins}
          onClick={() => open('withhold')}
        >
          Withhold
        </ActButton>
      )}
    </>
  );
}

function OfItsCard({ accelerator: { state }, open }: ActsProps): ReactElement {
  const isHeld = held.has(state);
  return (
    <>
      {state === 'withheld' && (
        <ActButton action="accelerator:identify" onClick={() => open('identify')}>
          Say which card it is
        </ActButton>
      )}
      <ActButton
        action="accelerator:program"
        obstacle={
          isHeld ? 'Something holds it, and would lose its content: detach it first.' : undefined
        }
        onClick={() => open('program')}
      >
        Program
      </ActButton>
      <ActButton
        action="accelerator:delete"
        variant="danger"
        obstacle={isHeld ? 'Something holds it: detach it first.' : undefined}
        onClick={() => open('delete')}
      >
        Delete
      </ActButton>
    </>
  );
}
