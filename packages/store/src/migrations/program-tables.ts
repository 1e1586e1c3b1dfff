/** Part of the first schema: program images on their way into cards, and what waits for them. */
export const programTables = [
  // A v2 PATCH that had to write a program image first: all of its requests are bound in the end, or none.
  `create table arq_bind (
    id uuid primary key,
    state text not null check (state in ('started', 'bound', 'failed')),
    reason text,
    held_until timestamptz not null,
    is_held boolean not null default true,
    created_at timestamptz not null,
    finished_at timestamptz
  )`,
  `create index arq_bind_finished on arq_bind (finished_at) where finished_at is not null`,
  // Images on their way to a host, in pieces. Without a digest one is still coming, and nobody may use it.
  `create table staged_image (
    id uuid primary key,
    image_id uuid,
    name text not null,
    sha256 text,
    size_bytes bigint not null default 0,
    pieces integer not null default 0,
    used_at timestamptz not null,
    created_at timestamptz not null,
    updated_at timestamptz
  )`,
  `create index staged_image_used on staged_image (used_at)`,
  `create table staged_image_piece (
    staged_image_id uuid not null references staged_image on delete cascade,
    number integer not null,
    data bytea not null,
    primary key (staged_image_id, number)
  )`,
  // The writing of an image into a deployable: at most one at a time.
  `create table programming (
    id uuid primary key,
    deployable_id uuid not null references deployable on delete cascade,
    accelerator_id uuid not null references accelerator on delete cascade,
    host_id uuid not null references host on delete cascade,
    bind_id uuid references arq_bind,
    operation_id uuid,
    image_id uuid,
    image_name text not null,
    function_id text,
    staged_image_id uuid references staged_image,
    sha256 text,
    state text not null check (state in ('staging', 'writing', 'succeeded', 'failed')),
    progress_percent integer not null default 0,
    reason text,
    epoch bigint not null,
    user_id text not null,
    project_id text not null,
    deadline_at timestamptz not null,
    next_attempt_at timestamptz,
    attempts integer not null default 0,
    claimed_by uuid,
    claim_expires_at timestamptz,
    trace_parent text,
    created_at timestamptz not null,
    updated_at timestamptz,
    finished_at timestamptz
  )`,
  `create unique index programming_live on programming (deployable_id) where state in ('staging', 'writing')`,
  `create index programming_host on programming (host_id) where state = 'writing'`,
  `create index programming_staging on programming (next_attempt_at) where state = 'staging'`,
  `create index programming_overdue on programming (deadline_at) where state in ('staging', 'writing')`,
  `create index programming_bind on programming (bind_id) where bind_id is not null`,
  `create index programming_image on programming (staged_image_id) where staged_image_id is not null`,
  `create index programming_finished on programming (finished_at) where finished_at is not null`,
];
