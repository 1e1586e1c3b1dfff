/** Part of the first schema: events, and how far back they are kept. */
export const eventTables = [
  // Written without a number in the act's transaction; the sequencer numbers it after commit, so a reader's cursor
  // never skips. \`subject_id\` is text: a driver's id is no UUID.
  `create table event (
    id bigint generated always as identity primary key,
    number bigint,
    at timestamptz not null,
    kind text not null,
    subject_kind text not null,
    subject_id text not null,
    host_id uuid,
    project_id text,
    user_id text,
    data jsonb not null
  )`,
  `create unique index event_number on event (number) where number is not null`,
  `create index event_unnumbered on event (id) where number is null`,
  `create index event_subject on event (subject_id, number)`,
  `create index event_project on event (project_id, number) where project_id is not null`,
  // Events up to \`forgotten\` are older than is kept; those after it, up to \`last\`, are all there.
  `create table event_counter (
    only_row boolean primary key default true check (only_row),
    last bigint not null,
    forgotten bigint not null default 0,
    check (forgotten <= last)
  )`,
  `insert into event_counter (last) values (0)`,
  // Of forgotten events: the last of each kind that says why an accelerator is as it is.
  `create table kept_event (
    accelerator_id uuid not null references accelerator on delete cascade,
    kind text not null,
    number bigint not null,
    at timestamptz not null,
    host_id uuid,
    project_id text,
    user_id text,
    data jsonb not null,
    primary key (accelerator_id, kind)
  )`,
];
