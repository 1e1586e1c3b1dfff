/** Ways from one thing to another. */
import type { ReactElement } from 'react';
import { Link } from 'react-router';

import { usePermission } from '../session/who.ts';

export function HostLink({ host }: { host: string }): ReactElement {
  const { isAllowed } = usePermission('host:show');
  return isAllowed ? <Link to={`/hosts/${encodeURIComponent(host)}`}>{host}</Link> : <>{host}</>;
}

export function AcceleratorLink({ id, name }: { id: string; name: string }): ReactElement {
  return <Link to={`/accelerators/${id}`}>{name}</Link>;
}

export function InstanceLink({ id, name }: { id: string; name?: string }): ReactElement {
  return <Link to={`/instances/${id}`}>{name ?? <ShortId id={id} />}</Link>;
}

/** The beginning of an id is enough for people; the whole of it is there when asked for. */
export function ShortId({ id }: { id: string }): ReactElement {
  return (
    <span className="console-mono" title={id}>
      {id.slice(0, 8)}
    </span>
  );
}

export function BackendLink({ host, name }: { host: string; name: string }): ReactElement {
  const { isAllowed } = usePermission('backend:show');
  const whole = `${host}@${name}`;
  return isAllowed ? (
    <Link to={`/backends/${encodeURIComponent(whole)}`}>{name}</Link>
  ) : (
    <>{name}</>
  );
}

/** Where the thing of an event is shown; undefined where there is no page of it. */
export function placeOf(kind: string, id: string, host: string | null): string | undefined {
  const places: Readonly<Record<string, string>> = {
    accelerator: `/accelerators/${id}`,
    backend: `/backends/${id}`,
    device: host === null ? '/hosts' : `/hosts/${encodeURIComponent(host)}`,
    driver: `/drivers/${encodeURIComponent(id)}`,
    host: `/hosts/${encodeURIComponent(host ?? id)}`,
    instance: `/instances/${id}`,
    operation: `/operations/${id}`,
    profile: '/profiles',
    quota: `/quotas?project=${encodeURIComponent(id)}`,
    service: '/services',
    unclaimed: '/unclaimed',
  };
  return places[kind];
}
