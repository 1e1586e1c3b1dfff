/** The catalogue of one driver: what was uploaded, by whom it is signed, and what is approved. */
import { Alert } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';

import { ActButton } from '../../components/act-button.tsx';
import { ActDialog } from '../../components/act-dialog.tsx';
import { Facts } from '../../components/facts.tsx';
import { Ago } from '../../components/instant.tsx';
import { ListTable, type Column } from '../../components/list-table.tsx';
import { State } from '../../components/states.tsx';
import { Panel } from '../../components/thing-page.tsx';
import { useToasts } from '../../components/toasts.tsx';
import { Verdict } from './conformance-panel.tsx';
import type { Driver } from './drivers-page.tsx';

type Version = Driver['versions'][number];

interface Wish {
  readonly act: 'approve' | 'delete';
  readonly version: Version;
}

export function VersionsPanel({ driver }: { driver: Driver }): ReactElement {
  const [wish, setWish] = useState<Wish>();
  const close = (): void => setWish(undefined);
  return (
    <Panel title="Versions">
      <ListTable
        label="Versions"
        items={driver.versions}
        columns={columnsWith(setWish)}
        keyOf={({ version }) => version}
      />
      {wish?.act === 'approve' && (
        <ApproveDialog driver={driver} version={wish.version} close={close} />
      )}
      {wish?.act === 'delete' && <DeleteDialog version={wish.version} close={close} />}
    </Panel>
  );
}

function columnsWith(open: (wish: Wish) => void): readonly Column<Version>[] {
  return [
    { title: 'Version', cell: ({ version }) => version },
    { title: 'State', cell: ({ state }) => <State state={state} /> },
    { title: 'From', cell: ({ builtin }) => (builtin ? 'this release' : 'an upload') },
    { title: 'Signature', cell: signatureOf },
    { title: 'Runs on', cell: ({ runtime }) => runtime ?? '' },
    { title: 'Asks for', cell: askedOf },
    { title: 'Size', cell: ({ size_bytes: bytes }) => (bytes === null ? '' : sizeOf(bytes)) },
    { title: 'Known since', cell: ({ created_at: at }) => <Ago at={at} /> },
    { title: 'Acts', cell: (version) => <Acts version={version} open={open} /> },
  ];
}

interface ActsProps {
  readonly version: Version;
  readonly open: (wish: Wish) => void;
}

function Acts({ version, open }: ActsProps): ReactElement | string {
  if (version.builtin) return '';
  return (
    <>
      <ActButton
        action="driver:approve"
        variant="link"
        size="sm"
        obstacle={version.state === 'approved' ? 'It is approved already.' : undefined}
        onClick={() => open({ act: 'approve', version })}
      >
        Approve
      </ActButton>
      <ActButton
        action="driver:delete"
        variant="link"
        size="sm"
        onClick={() => open({ act: 'delete', version })}
      >
        Delete
      </ActButton>
    </>
  );
}

function signatureOf({ signature, signed_by: by }: Version): string {
  switch (signature) {
    case 'builtin':
      return 'built in';
    case 'unsigned':
      return 'by no key that is trusted here';
    case 'signed':
      return by === null ? 'signed' : `signed by ${by}`;
    default:
      return signature;
  }
}

function askedOf({ permissions }: Version): string {
  return permissions.network ? 'the network' : 'nothing';
}

function sizeOf(bytes: number): string {
  return bytes < 1024 * 1024
    ? `${Math.ceil(bytes / 1024)} KiB`
    : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

interface ApproveDialogProps {
  readonly driver: Driver;
  readonly version: Version;
  readonly close: () => void;
}

function ApproveDialog({ driver, version, close }: ApproveDialogProps): ReactElement {
  const { say } = useToasts();
  const { driver_id: id, digest } = version;
  return (
    <ActDialog
      name="approveDriverVersion"
      title={`Approve ${id} ${version.version}`}
      verb="Approve"
      args={{
        params: { driver_id: id, version: version.version },
        body: digest === null ? {} : { digest },
      }}
      close={close}
      onDone={() => say(`${id} ${version.version} can be installed now.`)}
    >
      {version.signature === 'unsigned' && driver.signature_policy === 'warn' && (
        <Alert
          isInline
          variant="warning"
          title="No key that this server trusts has signed it: know where it comes from."
        />
      )}
      <p>
        Its program runs on every host where it is installed. Hosts are given this content and no
        other:
      </p>
      <Facts
        facts={[
          ['Digest', <code key="digest">{digest}</code>],
          ['Signature', signatureOf(version)],
          ['Uploaded by', version.uploaded_by],
          ['Runs on', version.runtime],
          ['Asks for', askedOf(version)],
          ['Conformance', <Verdict key="conformance" conformance={version.conformance} />],
        ]}
      />
    </ActDialog>
  );
}

function DeleteDialog({ version: it, close }: Omit<ApproveDialogProps, 'driver'>): ReactElement {
  const { say } = useToasts();
  return (
    <ActDialog
      name="deleteDriverVersion"
      title={`Delete ${it.driver_id} ${it.version}`}
      verb="Delete"
      isDangerous
      args={{ params: { driver_id: it.driver_id, version: it.version } }}
      close={close}
      onDone={() => say(`${it.driver_id} ${it.version} is deleted.`)}
    />
  );
}
