import { ToggleGroup, ToggleGroupItem } from '@patternfly/react-core';
import { useMemo, useState, type ReactElement } from 'react';

import { useRead } from '../../api/read.ts';
import { Empty, Failure, Loading } from '../../components/outcomes.tsx';
import { layOut } from './host-layout.ts';
import { HostPicture } from './host-picture.tsx';
import { HostWords } from './host-words.tsx';

/** More than any host has; the lists say so when it is not. */
const limit = 1000;

export function HostInside({ host }: { host: string }): ReactElement {
  const devices = useRead('listDevices', { query: { host, limit } });
  const accelerators = useRead('listAccelerators', { query: { host, limit } });
  const instances = useRead('listInstances', { query: { host, limit } });
  const [asWords, setAsWords] = useState(false);
  const nodes = useMemo(
    () => layOut(devices.data?.items ?? [], accelerators.data?.items ?? []),
    [devices.data, accelerators.data],
  );
  const holders = useMemo(
    () => new Map(instances.data?.items.map(({ id, name }) => [id, name])),
    [instances.data],
  );
  const failed = [devices, accelerators, instances].find(({ error }) => error !== null);
  if (failed?.error) {
    return <Failure error={failed.error} what="What is inside" again={failed.again} />;
  }
  if (devices.data === undefined || accelerators.data === undefined) {
    return <Loading what="what is inside" />;
  }
  if (devices.data.items.length === 0) {
    return (
      <Empty title="No cards">
        No driver has reported any. Install one on this host, or have it look again with Discover
        now.
      </Empty>
    );
  }
  const isCut = devices.data.next !== null || accelerators.data.next !== null;
  return (
    <>
      <ToggleGroup aria-label="How to show it">
        <ToggleGroupItem text="Picture" isSelected={!asWords} onChange={() => setAsWords(false)} />
        <ToggleGroupItem text="Words" isSelected={asWords} onChange={() => setAsWords(true)} />
      </ToggleGroup>
      {asWords ? (
        <HostWords nodes={nodes} holders={holders} />
      ) : (
        <HostPicture nodes={nodes} holders={holders} />
      )}
      {isCut && <p>Only the first {limit} are shown here; the lists have all.</p>}
    </>
  );
}
