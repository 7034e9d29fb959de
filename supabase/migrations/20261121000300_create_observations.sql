-- What checks saw: where each project was read up to, the state of each job, the log of runs and missed slots.

create table public.project_state (
  project_name text primary key,
  version bigint not null default 0,
  status text not null default 'unknown',
  error_code text,
  error_message text,
  status_since timestamptz not null default now(),
  run_cursor bigint,
  open_runs jsonb not null default '[]',
  settings jsonb not null default '{}',
  clock_offset_ms bigint,
  last_read_at timestamptz,
  updated_at timestamptz not null default now(),
  constraint "status is ok, error or unknown" check (status in ('ok', 'error', 'unknown'))
);
comment on table public.project_state is 'What the monitor knows of each project. One row a project; version rises with every record, so overlapping checks notice each other.';
comment on column public.project_state.run_cursor is 'Highest cron.job_run_details.runid that has been read.';
comment on column public.project_state.open_runs is 'Runs that had not ended when last read: [{"run_id", "first_seen_at"}].';
comment on column public.project_state.clock_offset_ms is 'The project''s clock minus the hub''s, in milliseconds.';
comment on column public.project_state.last_read_at is 'When the project was last read completely.';

create table public.job_state (
  job_inventory_id uuid primary key references public.job_inventory (id) on delete cascade,
  status text not null,
  verdict text,
  summary text,
  status_since timestamptz not null default now(),
  schedule text,
  slots_since timestamptz,
  judged_until timestamptz,
  last_run_at timestamptz,
  last_success_at timestamptz,
  consecutive_failures integer not null default 0,
  recent_runs jsonb not null default '[]',
  row_seen jsonb,
  checked_at timestamptz not null default now(),
  constraint "status is healthy, failed, missed, unknown or paused" check (
    status in ('healthy', 'failed', 'missed', 'unknown', 'paused')
  )
);
comment on table public.job_state is 'What the last check concluded about each job, and what the next one needs to know.';
comment on column public.job_state.verdict is 'Why, in one word: the check that found something, or the doubt. Kept while the project cannot be read.';
comment on column public.job_state.schedule is 'The schedule that slots_since and judged_until belong to.';
comment on column public.job_state.slots_since is 'Slots before this are not judged: the job, its schedule or its activation is younger.';
comment on column public.job_state.judged_until is 'Slots up to here have been judged, each exactly once.';
comment on column public.job_state.recent_runs is 'The last runs, newest last.';
comment on column public.job_state.row_seen is 'Version (xmin) of the job''s row in cron.job and when it was seen, in epoch milliseconds of the project''s clock; empty after an edit.';

create table public.job_health_log (
  id uuid not null default gen_random_uuid(),
  job_inventory_id uuid references public.job_inventory (id) on delete cascade,
  project_name text not null,
  job_name text not null,
  status text not null,
  error_message text,
  run_at timestamptz,
  run_id bigint,
  duration interval,
  source text not null default 'pg_cron',
  collected_at timestamptz not null default now(),
  primary key (collected_at, id),
  constraint "status is success, failed, missed or unknown" check (status in ('success', 'failed', 'missed', 'unknown'))
) partition by range (collected_at);
comment on table public.job_health_log is 'A row for every run and every missed slot, each exactly once. Daily partitions; monitoring.purge() drops old ones.';
comment on column public.job_health_log.status is 'success, failed, missed (no run for a slot) or unknown (ended without saying how).';
comment on column public.job_health_log.error_message is 'What the run said when it failed.';
comment on column public.job_health_log.run_at is 'Start of the run, or the slot that was missed.';
comment on column public.job_health_log.run_id is 'pg_cron''s runid.';
comment on column public.job_health_log.source is 'Who saw it: pg_cron, heartbeat, http, …';
comment on column public.job_health_log.collected_at is 'When the monitor learned of it.';
create index job_health_log_job on public.job_health_log (job_inventory_id, collected_at desc);
create index job_health_log_project on public.job_health_log (project_name, collected_at desc);

create table public.job_health_daily (
  job_inventory_id uuid not null references public.job_inventory (id) on delete cascade,
  day date not null,
  runs bigint not null default 0,
  successes bigint not null default 0,
  failures bigint not null default 0,
  missed bigint not null default 0,
  unknown bigint not null default 0,
  duration_total interval not null default interval '0',
  duration_max interval not null default interval '0',
  primary key (job_inventory_id, day)
);
comment on table public.job_health_daily is 'Runs and missed slots counted per job and UTC day of run_at.';
create index job_health_daily_day on public.job_health_daily (day);

create table public.check_runs (
  id uuid primary key default gen_random_uuid(),
  function_name text not null,
  source text not null,
  request_id text,
  began_at timestamptz not null default now(),
  ended_at timestamptz,
  status text not null default 'running',
  counts jsonb not null default '{}',
  error text,
  constraint "status is running, complete, partial or failed" check (status in ('running', 'complete', 'partial', 'failed'))
);
comment on table public.check_runs is 'Every invocation of a function of the monitor. A row left "running" is one that died.';
comment on column public.check_runs.source is 'Who called: cron, manual, …';
comment on column public.check_runs.status is 'complete: everything was read. partial: some projects could not be. failed: nothing was.';
create index check_runs_latest on public.check_runs (function_name, status, began_at desc);
create index check_runs_began on public.check_runs (began_at);
