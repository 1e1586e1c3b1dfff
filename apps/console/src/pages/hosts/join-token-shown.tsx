import {
  Alert,
  Button,
  Form,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
} from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';

import type { CarriedOut } from '../../api/act.ts';
import { TextField } from '../../components/fields.tsx';
import { Instant } from '../../components/instant.tsx';

export type JoinToken = CarriedOut<'createJoinToken'>;

export interface JoinTokenShownProps {
  readonly token: JoinToken;
  readonly close: () => void;
}

/** The only time that anybody sees it: the ledger keeps a hash. */
export function JoinTokenShown({ token, close }: JoinTokenShownProps): ReactElement {
  const title = `A join token for ${token.host ?? 'a new host'}`;
  return (
    <Modal isOpen variant="medium" onClose={close} aria-label={title}>
      <ModalHeader title={title} />
      <ModalBody>
        <Form>
          <Alert isInline variant="warning" title="Copy it now: it is not shown again." />
          <TextField
            id="join-token"
            label="Join token"
            value={token.token}
            isReadOnly
            onChange={() => {}}
            help={
              <>
                Good once, until <Instant at={token.expires_at} />. Put it in a file that only root
                reads, and start the agent with <code>--join-token-file</code>.
              </>
            }
          />
        </Form>
      </ModalBody>
      <ModalFooter>
        {isSecureContext && <Copy text={token.token} />}
        <Button variant="primary" onClick={close}>
          I have it
        </Button>
      </ModalFooter>
    </Modal>
  );
}

/** Browsers let pages copy only over TLS, or on the machine itself. */
function Copy({ text }: { text: string }): ReactElement {
  const [isCopied, setIsCopied] = useState(false);
  return (
    <Button
      variant="secondary"
      onClick={() => void navigator.clipboard.writeText(text).then(() => setIsCopied(true))}
    >
      {isCopied ? 'Copied' : 'Copy'}
    </Button>
  );
}
