/** The tables of the catalogue of drivers (migrations/driver-tables.ts). */
import type { Generated } from 'kysely';

import type { BigInteger, Instant, Json } from './schema-columns.ts';

export interface DriverTable {
  id: string;
  title: string;
  created_at: Instant;
}

export interface DriverManifestKind {
  readonly kind: string;
  readonly title: string;
  readonly config_schema: Readonly<Record<string, unknown>>;
  readonly delegable: readonly string[];
  readonly needs?: HostNeeds;
}

/** What a host must have; its schema is the driver package's. */
export type HostNeeds = Readonly<Record<string, unknown>>;

export interface DriverManifest {
  readonly kinds: readonly DriverManifestKind[];
  /** Backends of a bare `install-driver`. */
  readonly default_backends: readonly {
    readonly name: string;
    readonly kind: string;
    readonly config: Readonly<Record<string, unknown>>;
  }[];
  readonly needs?: HostNeeds;
  /** Of uploaded ones. */
  readonly protocol?: { readonly min: number; readonly max: number };
  readonly entry?: string;
  readonly runtime?: string;
  readonly permissions?: { readonly network?: boolean };
  readonly definitions?: readonly string[];
}

/** What a report of `cyborg driver-test` says, as it is shown. */
export interface DriverConformance {
  readonly passed: boolean;
  readonly kit_version: string;
  readonly protocol: string;
  readonly clauses_passed: number;
  readonly clauses_failed: number;
  readonly clauses_untested: number;
  readonly clauses_not_run: number;
  readonly failures: readonly {
    readonly clause: string;
    readonly text: string;
    readonly reason: string | null;
  }[];
  readonly backends: readonly string[];
  readonly left_out: readonly string[];
  readonly seed: number;
  readonly duration_ms: number;
}

export interface DriverVersionTable {
  driver_id: string;
  version: string;
  state: 'uploaded' | 'approved';
  is_builtin: boolean;
  /** `sha512-…` of the tarball; null for a built-in one. */
  digest: string | null;
  /** ed25519, base64. */
  signature: string | null;
  /** Fingerprint of the key that was trusted when it was uploaded or approved. */
  signed_by: string | null;
  size_bytes: BigInteger | null;
  package_id: string | null;
  manifest: Json<DriverManifest>;
  uploaded_by: string | null;
  approved_by: string | null;
  approved_at: Instant | null;
  /** What was approved; agents are given nothing else. */
  approved_digest: string | null;
  /** null: nobody has uploaded a report. */
  conformance: Json<DriverConformance> | null;
  conformance_by: string | null;
  conformance_at: Instant | null;
  created_at: Instant;
}

export interface DriverPackageTable {
  id: string;
  /** null while it is still coming. */
  digest: string | null;
  size_bytes: Generated<BigInteger>;
  pieces: Generated<number>;
  created_at: Instant;
}

export interface DriverPackagePieceTable {
  package_id: string;
  number: number;
  data: Buffer;
}
