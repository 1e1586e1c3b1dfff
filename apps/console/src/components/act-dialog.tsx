/** An act in three steps: what is wished, what the server says would happen, and doing it. */
import {
  Alert,
  Button,
  Form,
  List,
  ListItem,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  Skeleton,
} from '@patternfly/react-core';
import { useEffect, useState, type ReactElement, type ReactNode } from 'react';

import { useAct, useRehearsal, type CarriedOut, type Rehearsal } from '../api/act.ts';
import type { Args } from '../api/call.ts';
import type { ActName } from '../api/nouns.ts';
import { Refused } from './outcomes.tsx';

export interface ActDialogProps<Name extends ActName> {
  readonly name: Name;
  readonly title: string;
  /** What the button says. */
  readonly verb: string;
  /** Undefined while something is still to be chosen. */
  readonly args: Args<Name> | undefined;
  readonly ifMatch?: string | undefined;
  readonly isDangerous?: boolean;
  readonly children?: ReactNode;
  readonly close: () => void;
  readonly onDone: (result: CarriedOut<Name>) => void;
}

export function ActDialog<Name extends ActName>(props: ActDialogProps<Name>): ReactElement {
  const { name, title, verb, args, ifMatch, isDangerous = false, children, close, onDone } = props;
  const act = useAct(name, ifMatch);
  const preview = useRehearsal(name, useSettled(args));
  const canRun = args !== undefined && preview.rehearsal?.would_succeed !== false;
  const run = async (): Promise<void> => {
    if (args === undefined) return;
    try {
      onDone(await act.run(args));
      close();
    } catch {
      // Shown from act.error.
    }
  };
  return (
    <Modal isOpen variant="medium" onClose={close} aria-label={title}>
      <ModalHeader title={title} />
      <ModalBody>
        <Form
          onSubmit={(event) => {
            event.preventDefault();
            if (canRun && !act.isRunning) void run();
          }}
        >
          {children}
          {args !== undefined && <Preview {...preview} />}
          {act.error !== null && <Refused error={act.error} />}
        </Form>
      </ModalBody>
      <ModalFooter>
        <Button
          variant={isDangerous ? 'danger' : 'primary'}
          isDisabled={!canRun || act.isRunning}
          isLoading={act.isRunning}
          onClick={() => void run()}
        >
          {verb}
        </Button>
        <Button variant="link" onClick={close}>
          Cancel
        </Button>
      </ModalFooter>
    </Modal>
  );
}

interface PreviewProps {
  readonly rehearsal: Rehearsal | undefined;
  readonly error: Error | null;
  readonly isPending: boolean;
}

function Preview({ rehearsal, error, isPending }: PreviewProps): ReactElement | null {
  if (error !== null) return <Refused error={error} />;
  if (isPending || rehearsal === undefined) {
    return (
      <div role="status" aria-label="Asking what would happen">
        <Skeleton height="3rem" />
      </div>
    );
  }
  return <WouldHappen rehearsal={rehearsal} />;
}

export function WouldHappen({ rehearsal }: { rehearsal: Rehearsal }): ReactElement {
  if (!rehearsal.would_succeed) return <Impossible rehearsal={rehearsal} />;
  return (
    <Alert isInline isPlain variant="info" title="What will happen" aria-live="polite">
      {rehearsal.changes.length === 0 ? (
        'Nothing: it is so already.'
      ) : (
        <List>
          {rehearsal.changes.map(({ subject_kind, subject_id, change }) => (
            <ListItem key={`${subject_id} ${change}`}>
              {subject_kind} <span className="console-mono">{subject_id}</span>: {change}
            </ListItem>
          ))}
        </List>
      )}
    </Alert>
  );
}

function Impossible({ rehearsal }: { rehearsal: Rehearsal }): ReactElement {
  const { refusal, nearest_misses: misses } = rehearsal;
  return (
    <Alert isInline variant="warning" title="This would be refused" aria-live="polite">
      <p>{refusal?.detail}</p>
      {misses.length > 0 && (
        <>
          <p>Nearest misses:</p>
          <List>
            {misses.map((miss) => (
              <ListItem key={miss.accelerator_id}>
                {miss.name}: {miss.why_not.join('; ')}
              </ListItem>
            ))}
          </List>
        </>
      )}
    </Alert>
  );
}

const typingMs = 300;

/** The wish when the typing pauses; at once when it is the first. */
function useSettled<T>(value: T): T {
  const [settled, setSettled] = useState(value);
  const text = JSON.stringify(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), typingMs);
    return () => clearTimeout(timer);
    // By content: the caller makes a new object with each rendering.
  }, [text]);
  return settled;
}
