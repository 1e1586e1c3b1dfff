/**
 * The whole first schema. States are text with a check, so that a newer server can add one in a migration of its own.
 * No column has a default that reads the database's clock or randomness: ids and instants are given by the domain.
 */
import { sql, type Kysely } from 'kysely';

import { fingerprintOf } from '../schema-fingerprint.ts';
import { deploymentTables } from './deployment-tables.ts';
import { driverTables } from './driver-tables.ts';
import { eventTables } from './event-tables.ts';
import { inventoryTables } from './inventory-tables.ts';
import { novaTables } from './nova-tables.ts';
import { programTables } from './program-tables.ts';

const statements = [
  `create table ledger (
    only_row boolean primary key default true check (only_row),
    id uuid not null,
    incarnation integer not null check (incarnation between 1 and 2097151),
    created_at timestamptz not null,
    updated_at timestamptz
  )`,
  // Seals the session cookies of the console, which every replica can open.
  `create table console_key (
    only_row boolean primary key default true check (only_row),
    key text not null,
    created_at timestamptz not null
  )`,
  // Server processes; a row that is not renewed within its lease is a dead replica.
  `create table replica (
    id uuid primary key,
    name text not null,
    role text not null check (role in ('api', 'conductor', 'all')),
    version text not null,
    started_at timestamptz not null,
    lease_expires_at timestamptz not null
  )`,
  `create table host (
    id uuid primary key,
    name text not null unique,
    node_name text not null,
    service_host text,
    status text not null default 'enabled' check (status in ('enabled', 'disabled')),
    status_reason text,
    labels jsonb not null default '{}',
    simulated boolean not null default false,
    facts jsonb not null default '{}',
    conditions jsonb not null default '[]',
    credential_hash text,
    revoked_at timestamptz,
    agent_instance uuid,
    agent_version text,
    agent_since timestamptz,
    lease_expires_at timestamptz,
    plugs jsonb not null default '[]',
    instances_reported_at timestamptz,
    first_inventory_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz
  )`,
  `create index host_node_name on host (node_name)`,
  `create table join_token (
    id uuid primary key,
    token_hash text not null unique,
    host_name text,
    is_reenrol boolean not null default false,
    is_simulated boolean not null default false,
    expires_at timestamptz not null,
    used_at timestamptz,
    created_by text not null,
    created_at timestamptz not null
  )`,
  ...driverTables,
  ...deploymentTables,
  ...inventoryTables,
  `create table instance (
    id uuid primary key,
    host_id uuid not null references host on delete cascade,
    name text not null,
    hypervisor text not null,
    state text not null,
    plugs jsonb not null default '[]',
    numa_nodes jsonb not null default '[]',
    project_id text,
    project_source text check (project_source in ('hypervisor', 'operator', 'nova')),
    is_present boolean not null,
    missing_since timestamptz,
    missing_seen integer not null default 0,
    is_vanished boolean not null default false,
    created_at timestamptz not null,
    updated_at timestamptz
  )`,
  `create index instance_host on instance (host_id, id)`,
  // Those that can be given something come first: of all and of one project.
  `create index instance_listed on instance ((state <> 'ACTIVE'), name, id)`,
  `create index instance_project on instance (project_id, (state <> 'ACTIVE'), name, id) where project_id is not null`,
  `create index instance_name on instance (name)`,
  `create index instance_vanished on instance (id) where is_vanished`,
  `create index instance_gone on instance (missing_since) where is_vanished`,
  `create table device_profile (
    id uuid primary key,
    number integer generated always as identity unique,
    name text not null unique,
    description text,
    groups json not null,
    created_at timestamptz not null,
    updated_at timestamptz
  )`,
  `create table operation (
    id uuid primary key,
    kind text not null,
    state text not null check (state in ('queued','running','waiting','succeeded','failed','cancelled')),
    subject jsonb not null,
    progress_done integer not null default 0,
    progress_total integer not null default 0,
    results jsonb not null default '[]',
    error text,
    host_id uuid,
    user_id text not null,
    project_id text not null,
    deadline_at timestamptz,
    next_attempt_at timestamptz,
    attempts integer not null default 0,
    claimed_by uuid,
    claim_expires_at timestamptz,
    trace_parent text,
    created_at timestamptz not null,
    updated_at timestamptz,
    finished_at timestamptz
  )`,
  `create index operation_open on operation (created_at) where state in ('queued', 'running', 'waiting')`,
  // Newest first, of all and of one project.
  `create index operation_newest on operation (created_at desc, id desc)`,
  `create index operation_project on operation (project_id, created_at desc, id desc)`,
  `create index operation_finished on operation (finished_at) where finished_at is not null`,
  `create table attachment (
    id uuid primary key,
    number integer generated always as identity unique,
    accelerator_id uuid references accelerator on delete set null,
    host_id uuid references host on delete set null,
    instance_id uuid,
    project_id text not null,
    user_id text not null,
    origin text not null check (origin in ('nova', 'cyborg')),
    state text not null check (state in ('requested','reserved','attaching','attached','failed','detaching','released')),
    reason text,
    plugged_by text not null check (plugged_by in ('nova', 'agent', 'none')),
    observed text not null default 'unknown' check (observed in ('plugged', 'missing', 'unknown')),
    epoch bigint not null default 0,
    device_epoch bigint not null default 0,
    profile_id uuid references device_profile,
    profile_group integer,
    was_bound boolean not null default false,
    hostname text,
    operation_id uuid,
    allocation text check (allocation in ('wanted', 'made')),
    bind_id uuid,
    again_at timestamptz,
    again_count integer not null default 0,
    left_addresses jsonb not null default '[]',
    next_attempt_at timestamptz,
    attempts integer not null default 0,
    claimed_by uuid,
    claim_expires_at timestamptz,
    trace_parent text,
    created_at timestamptz not null,
    updated_at timestamptz
  )`,
  // What its instance lost and is given again by itself.
  `create index attachment_again on attachment (again_at) where state = 'failed' and again_at is not null`,
  // Of what Placement is to be told or rid of; a row leaves it when its allocation is gone.
  `create index attachment_allocation on attachment (state, next_attempt_at) where allocation is not null`,
  // Promise 1: an accelerator has at most one live attachment.
  `create unique index attachment_live on attachment (accelerator_id)
    where state in ('reserved', 'attaching', 'attached', 'failed', 'detaching')`,
  // Who held it when.
  `create index attachment_accelerator on attachment (accelerator_id, number)`,
  `create index attachment_work on attachment (host_id, id) where state in ('reserved', 'attaching', 'detaching')`,
  `create index attachment_held on attachment (host_id, id) where state in ('attached', 'failed')`,
  `create index attachment_released on attachment (updated_at) where state = 'released' and allocation is null`,
  `create index attachment_instance on attachment (instance_id) where state <> 'released'`,
  // v2's lists: of one project, and of all.
  `create index attachment_project on attachment (project_id, number) where state <> 'released'`,
  `create index attachment_number on attachment (number) where state <> 'released'`,
  `create index attachment_operation on attachment (operation_id) where operation_id is not null and state in ('reserved', 'attaching', 'detaching')`,
  `create index attachment_profile on attachment (profile_id) where profile_id is not null`,
  `create index attachment_bind on attachment (bind_id) where bind_id is not null and state = 'reserved'`,
  ...programTables,
  ...novaTables,
  // What was written to Placement. No references: a row outlives its deployable until its provider is gone.
  `create table placement_provider (
    rp_uuid uuid primary key,
    name text not null,
    deployable_id uuid not null,
    host_id uuid not null,
    synced jsonb,
    generation integer,
    owned_classes jsonb not null default '[]',
    owned_traits jsonb not null default '[]',
    is_made boolean not null default false,
    noticed integer not null default 0,
    trouble text check (trouble in ('outage', 'no-node', 'in-use', 'foreign', 'refused')),
    reason text,
    waiting_since timestamptz,
    checked_at timestamptz,
    next_attempt_at timestamptz,
    attempts integer not null default 0,
    claimed_by uuid,
    claim_expires_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz
  )`,
  `create index placement_provider_due on placement_provider (next_attempt_at) where next_attempt_at is not null`,
  `create index placement_provider_host on placement_provider (host_id)`,
  `create index placement_provider_checked on placement_provider (checked_at) where next_attempt_at is null`,
  // Found on a host, unasked: left alone until an operator adopts or releases it. Which accelerator it is, its host says.
  `create table unclaimed (
    id uuid primary key,
    host_id uuid not null references host on delete cascade,
    instance_id uuid not null,
    device_name text not null,
    accelerator_id uuid,
    address text,
    ordered text check (ordered in ('release')),
    reason text,
    first_seen_at timestamptz not null,
    created_at timestamptz not null,
    updated_at timestamptz,
    unique (host_id, instance_id, device_name)
  )`,
  `create table quota (
    project_id text not null,
    type text not null,
    accelerators_max integer not null check (accelerators_max >= 0),
    created_at timestamptz not null,
    updated_at timestamptz,
    primary key (project_id, type)
  )`,
  `create table access_grant (
    id uuid primary key,
    project_id text not null,
    host_id uuid not null references host on delete cascade,
    backend_name text,
    created_by text not null,
    created_at timestamptz not null
  )`,
  `create unique index access_grant_once on access_grant (project_id, host_id, coalesce(backend_name, ''))`,
  ...eventTables,
  `create table idempotency_key (
    scope text not null,
    key text not null,
    body_hash text not null,
    status integer,
    response jsonb,
    created_at timestamptz not null,
    primary key (scope, key)
  )`,
  `create index idempotency_key_age on idempotency_key (created_at)`,
];

export const firstLedger = {
  fingerprint: fingerprintOf(statements),
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
