import type { VersionRow } from './find-driver.ts';

export type SignatureState = 'builtin' | 'signed' | 'unsigned';

export interface DriverVersionView {
  readonly driver_id: string;
  readonly version: string;
  readonly state: 'uploaded' | 'approved';
  readonly builtin: boolean;
  readonly digest: string | null;
  readonly size_bytes: number | null;
  readonly signature: SignatureState;
  readonly signed_by: string | null;
  readonly runtime: string | null;
  readonly protocol: { readonly min: number; readonly max: number } | null;
  readonly permissions: { readonly network: boolean };
  readonly uploaded_by: string | null;
  readonly approved_by: string | null;
  readonly created_at: Date;
  /** When it was approved. */
  readonly updated_at: Date | null;
}

export function toVersionView(row: VersionRow): DriverVersionView {
  const { manifest } = row;
  return {
    driver_id: row.driver_id,
    version: row.version,
    state: row.state,
    builtin: row.is_builtin,
    digest: row.digest,
    size_bytes: row.size_bytes,
    signature: row.is_builtin ? 'builtin' : row.signed_by === null ? 'unsigned' : 'signed',
    signed_by: row.signed_by,
    runtime: manifest.runtime ?? null,
    protocol: manifest.protocol ?? null,
    permissions: { network: manifest.permissions?.network === true },
    uploaded_by: row.uploaded_by,
    approved_by: row.approved_by,
    created_at: row.created_at,
    updated_at: row.approved_at,
  };
}
