/** Part of the first schema: what Nova is to be told, and what it has said. */
export const novaTables = [
  // The outbox of what Nova is to be told; a row goes when Nova has it or the instance is gone.
  `create table nova_event (
    id uuid primary key,
    attachment_id uuid not null references attachment on delete cascade,
    instance_id uuid not null,
    status text not null check (status in ('completed', 'failed')),
    next_attempt_at timestamptz,
    attempts integer not null default 0,
    claimed_by uuid,
    claim_expires_at timestamptz,
    created_at timestamptz not null
  )`,
  `create index nova_event_attachment on nova_event (attachment_id)`,
  `create index nova_event_due on nova_event (next_attempt_at nulls first, created_at)`,
  // What Nova last said of an instance; without a row, it has not been asked yet.
  `create table nova_server (
    instance_id uuid primary key references instance on delete cascade,
    status text,
    task_state text,
    is_locked boolean not null default false,
    host text,
    node_name text,
    gone_at timestamptz,
    looked_at timestamptz,
    next_attempt_at timestamptz,
    attempts integer not null default 0,
    claimed_by uuid,
    claim_expires_at timestamptz
  )`,
  `create index nova_server_due on nova_server (next_attempt_at)`,
  // Up to where Nova's changes have been read.
  `create table nova_watch (
    only_row boolean primary key default true check (only_row),
    read_until timestamptz,
    next_attempt_at timestamptz,
    claimed_by uuid,
    claim_expires_at timestamptz
  )`,
  `insert into nova_watch (only_row) values (true)`,
];
