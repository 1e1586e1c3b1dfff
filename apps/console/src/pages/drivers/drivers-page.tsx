import { useState, type ReactElement } from 'react';
import { Link } from 'react-router';

import type { Result } from '../../api/call.ts';
import { ActButton } from '../../components/act-button.tsx';
import { ListPage } from '../../components/list-page.tsx';
import type { Column } from '../../components/list-table.tsx';
import { UploadDialog } from './upload-dialog.tsx';

export type Driver = Result<'showDriver'>;

const columns: readonly Column<Driver>[] = [
  {
    title: 'Driver',
    cell: ({ id }) => <Link to={`/drivers/${encodeURIComponent(id)}`}>{id}</Link>,
  },
  { title: 'Title', cell: ({ title }) => title, wraps: true },
  { title: 'Newest approved', cell: ({ version }) => version ?? 'none' },
  {
    title: 'To approve',
    cell: ({ versions }) => versions.filter(({ state }) => state === 'uploaded').length || '',
  },
  { title: 'Installed', cell: ({ installed_version: version }) => version ?? 'no' },
  {
    title: 'Hosts ready',
    cell: ({ hosts_ready: ready, hosts_total: total }) =>
      total === 0 ? '' : `${ready} of ${total}`,
  },
  { title: 'Kinds', cell: ({ kinds }) => kinds.map(({ kind }) => kind).join(', '), wraps: true },
];

export function DriversPage(): ReactElement {
  const [isUploading, setIsUploading] = useState(false);
  return (
    <>
      <ListPage
        name="listDrivers"
        title="Drivers"
        about="Programs that each know one family of hardware."
        columns={columns}
        keyOf={({ id }) => id}
        empty={<>The catalogue is empty: this server came without drivers. Upload a package.</>}
        actions={
          <ActButton action="driver:upload" variant="primary" onClick={() => setIsUploading(true)}>
            Upload a package
          </ActButton>
        }
      />
      {isUploading && <UploadDialog close={() => setIsUploading(false)} />}
    </>
  );
}
