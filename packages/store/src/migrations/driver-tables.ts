/** Part of the first schema: the catalogue of drivers, and the packages of those that were uploaded. */
export const driverTables = [
  `create table driver (
    id text primary key,
    title text not null,
    created_at timestamptz not null
  )`,
  // The tarball of an uploaded version, in pieces, so that it is never whole in memory. Without a digest it is still coming.
  `create table driver_package (
    id uuid primary key,
    digest text,
    size_bytes bigint not null default 0,
    pieces integer not null default 0,
    created_at timestamptz not null
  )`,
  `create index driver_package_created on driver_package (created_at) where digest is null`,
  `create table driver_package_piece (
    package_id uuid not null references driver_package on delete cascade,
    number integer not null,
    data bytea not null,
    primary key (package_id, number)
  )`,
  `create table driver_version (
    driver_id text not null references driver,
    version text not null,
    state text not null check (state in ('uploaded', 'approved')),
    is_builtin boolean not null,
    digest text,
    signature text,
    signed_by text,
    size_bytes bigint,
    package_id uuid references driver_package,
    manifest jsonb not null,
    uploaded_by text,
    approved_by text,
    approved_at timestamptz,
    approved_digest text,
    conformance jsonb,
    conformance_by text,
    conformance_at timestamptz,
    created_at timestamptz not null,
    primary key (driver_id, version)
  )`,
];
