import type { DriverConformance } from '@cyborg/store/schema-drivers';

import type { VersionRow } from './find-driver.ts';

export type SignatureState = 'builtin' | 'signed' | 'unsigned';

export interface ConformanceView extends DriverConformance {
  readonly uploaded_by: string | null;
  readonly uploaded_at: Date;
}

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
  readonly conformance: ConformanceView | null;
  readonly created_at: Date;
  /** When it was approved, or was given its report. */
  readonly updated_at: Date | null;
}

export function updatedAt({
  approved_at: approvedAt,
  conformance_at: reportedAt,
}: Pick<VersionRow, 'approved_at' | 'conformance_at'>): Date | null {
  if (approvedAt === null || reportedAt === null) return approvedAt ?? reportedAt;
  return approvedAt > reportedAt ? approvedAt : reportedAt;
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
    conformance: toConformanceView(row),
    created_at: row.created_at,
    updated_at: updatedAt(row),
  };
}

function toConformanceView(row: VersionRow): ConformanceView | null {
  const { conformance, conformance_by: uploaded_by, conformance_at: uploaded_at } = row;
  if (conformance === null || uploaded_at === null) return null;
  return { ...conformance, uploaded_by, uploaded_at };
}
