-- What is watched: projects, their jobs, and the settings of the monitor itself.
-- People edit these tables in the Supabase table editor, so constraints carry names that read as sentences.

create function monitoring.tidy_text() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  v_tidy jsonb;
begin
  -- the table editor sends '' for a text that a person cleared, and what was pasted with its line end
  select jsonb_object_agg(key, nullif(btrim(value, E' \t\r\n'), '')) into v_tidy
  from jsonb_each_text(to_jsonb(new))
  where key = any (tg_argv);
  return jsonb_populate_record(new, v_tidy);
end
$$;
comment on function monitoring.tidy_text() is 'Trigger: trims the text columns that it is given and makes NULL of those that are empty then. Only for columns that people alone write.';
revoke execute on function monitoring.tidy_text() from public;

create table public.app_settings (
  key text primary key,
  value text,
  description text,
  updated_at timestamptz not null default now(),
  constraint "edge_base_url is an http(s) URL" check (key <> 'edge_base_url' or value ~ '^https?://[^\s]+$'),
  constraint "log_successes is true or false" check (key <> 'log_successes' or value in ('true', 'false')),
  constraint "health_log_days is a whole number of days, 1 or more" check (
    key <> 'health_log_days' or (value ~ '^[0-9]{1,4}$' and value::integer >= 1)
  )
);
comment on table public.app_settings is 'Settings of the job monitor, one a row.';
comment on column public.app_settings.key is 'Name of the setting.';
comment on column public.app_settings.value is 'Its value, as text.';
comment on column public.app_settings.description is 'What the setting does.';

create trigger app_settings_tidy_text before insert or update of value, description on public.app_settings
  for each row execute function monitoring.tidy_text('value', 'description');
create trigger app_settings_updated_at before update on public.app_settings
  for each row execute function monitoring.touch_updated_at();

insert into public.app_settings (key, value, description) values
  ('log_successes', 'true', 'true: every run is a row of job_health_log. false: successful runs are only counted in job_health_daily (for fleets with very many runs).'),
  ('health_log_days', '90', 'How many days of job_health_log are kept.');

create table public.monitored_projects (
  name text primary key,
  project_ref text,
  database_url text,
  enabled boolean not null default true,
  notes text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint "name is lower case letters, digits, _ or -" check (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
  constraint "project_ref is the 20 letters of the dashboard URL" check (project_ref ~ '^[a-z]{20}$'),
  constraint "database_url is vault:NAME or env:NAME" check (database_url ~ '^(vault|env):[A-Za-z0-9_.-]{1,128}$')
);
comment on table public.monitored_projects is 'Projects to watch besides those given as secrets named <PROJECT>_SUPABASE_POSTGRES_URL. A row with the name of such a secret adds to it.';
comment on column public.monitored_projects.name is 'Short name, as used in alerts and in job_inventory.project_name.';
comment on column public.monitored_projects.project_ref is 'The project''s Supabase ref (20 letters in its dashboard URL): needed to list its edge functions and for links.';
comment on column public.monitored_projects.database_url is 'Where the project''s Postgres URL is kept: vault:NAME (Supabase Vault) or env:NAME (function secret). Empty: the secret <PROJECT>_SUPABASE_POSTGRES_URL. Never the URL itself.';
comment on column public.monitored_projects.enabled is 'false: neither discovered nor checked.';
comment on column public.monitored_projects.notes is 'For people.';

create trigger monitored_projects_tidy_text
  before insert or update of project_ref, database_url, notes on public.monitored_projects
  for each row execute function monitoring.tidy_text('project_ref', 'database_url', 'notes');
create trigger monitored_projects_updated_at before update on public.monitored_projects
  for each row execute function monitoring.touch_updated_at();

create table public.job_inventory (
  id uuid primary key default gen_random_uuid(),
  project_name text not null,
  project_id text,
  job_type text not null default 'pg_cron',
  job_name text not null,
  job_user text,
  job_id bigint,
  schedule text,
  command text,
  active boolean not null default true,
  expected_interval_minutes numeric,
  description text,
  success_criteria text,
  criticality text,
  alert_channel text,
  owner text,
  runbook_url text,
  grace_minutes numeric,
  max_runtime_minutes numeric,
  failure_threshold integer,
  success_check_sql text,
  min_rows bigint,
  health_check_url text,
  first_seen_at timestamptz not null default now(),
  last_seen_at timestamptz,
  removed_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint job_inventory_identity unique nulls not distinct (project_name, job_type, job_name, job_user),
  constraint "project_name is not empty" check (btrim(project_name) <> ''),
  constraint "job_name is not empty" check (btrim(job_name) <> ''),
  constraint "job_user is not empty (use NULL for none)" check (btrim(job_user) <> ''),
  constraint "job_type is pg_cron, edge_function, webhook or heartbeat" check (
    job_type in ('pg_cron', 'edge_function', 'webhook', 'heartbeat')
  ),
  constraint "criticality is critical, important or low" check (criticality in ('critical', 'important', 'low')),
  -- '' here is more likely a channel that was forgotten than one that was cleared
  constraint "alert_channel is not empty (use NULL for none)" check (btrim(alert_channel) <> ''),
  constraint "runbook_url is an http(s) URL" check (runbook_url ~* '^https?://[^\s]+$'),
  constraint "health_check_url is an http(s) URL" check (health_check_url ~* '^https?://[^\s]+$'),
  constraint "grace_minutes is 0 to 44640 (31 days)" check (grace_minutes between 0 and 44640),
  constraint "max_runtime_minutes is more than 0 and at most 44640" check (
    max_runtime_minutes > 0 and max_runtime_minutes <= 44640
  ),
  constraint "failure_threshold is 1 to 100" check (failure_threshold between 1 and 100),
  constraint "min_rows is 0 or more" check (min_rows >= 0),
  constraint "success_check_sql is a select" check (success_check_sql ~* '^\s*(select|with|table|values)\M')
);
comment on table public.job_inventory is 'Every job of every watched project. Discovery keeps what the projects say; the columns from description to health_check_url are for people and discovery never writes them.';
comment on column public.job_inventory.project_name is 'The watched project.';
comment on column public.job_inventory.project_id is 'Its Supabase ref, where known.';
comment on column public.job_inventory.job_type is 'pg_cron, edge_function, webhook or heartbeat.';
comment on column public.job_inventory.job_name is 'Name of the job; an unnamed pg_cron job is "job <jobid>".';
comment on column public.job_inventory.job_user is 'Database role that pg_cron runs it as. pg_cron''s names are unique only within a role. Empty in a row that you add: discovery fills it in, unless several roles have a job of that name.';
comment on column public.job_inventory.job_id is 'pg_cron''s jobid; changes when the job is unscheduled and scheduled again.';
comment on column public.job_inventory.schedule is 'As given to cron.schedule.';
comment on column public.job_inventory.command is 'What pg_cron runs, with passwords and keys blanked.';
comment on column public.job_inventory.active is 'false: paused in pg_cron.';
comment on column public.job_inventory.expected_interval_minutes is 'Usual minutes between runs, from the schedule.';
comment on column public.job_inventory.description is 'For you: what the job does, in plain words. Told in alerts.';
comment on column public.job_inventory.success_criteria is 'For you: how to know that it worked, beyond "it didn''t throw". Told in alerts.';
comment on column public.job_inventory.criticality is 'For you: critical, important or low. Decides where alerts go (alert_config). Empty counts as important.';
comment on column public.job_inventory.alert_channel is 'For you: name (or channel) of the row of alert_config that this job''s alerts go to. Empty, or no such row: where its criticality goes.';
comment on column public.job_inventory.owner is 'For you: who looks after it. Told in alerts.';
comment on column public.job_inventory.runbook_url is 'For you: link to what to do when it fails. Told in alerts.';
comment on column public.job_inventory.grace_minutes is 'For you: minutes a run may be late before it counts as missed. Empty: half the interval, at least 2.5 and at most 60.';
comment on column public.job_inventory.max_runtime_minutes is 'For you: minutes after which a run counts as stuck.';
comment on column public.job_inventory.failure_threshold is 'For you: failed runs in a row before the job counts as failed. Empty: 1.';
comment on column public.job_inventory.success_check_sql is 'For you: a query on the project that answers true or false after a successful run.';
comment on column public.job_inventory.min_rows is 'For you: rows that a successful run affects at least.';
comment on column public.job_inventory.health_check_url is 'For you: URL that answers while the job or function is well.';
comment on column public.job_inventory.first_seen_at is 'When discovery first saw the job.';
comment on column public.job_inventory.last_seen_at is 'When it was last seen.';
comment on column public.job_inventory.removed_at is 'When it was found gone; empty while it exists. Annotations stay for its return.';

create index job_inventory_project on public.job_inventory (project_name, job_type);

create trigger job_inventory_tidy_text
  before insert or update of
    description, success_criteria, criticality, owner, runbook_url, success_check_sql, health_check_url
  on public.job_inventory
  -- discovery writes every job at each look, and none of these
  for each row when (num_nonnulls(
    new.description, new.success_criteria, new.criticality, new.owner, new.runbook_url, new.success_check_sql,
    new.health_check_url) > 0)
  execute function monitoring.tidy_text(
    'description', 'success_criteria', 'criticality', 'owner', 'runbook_url', 'success_check_sql', 'health_check_url');
create trigger job_inventory_updated_at before update on public.job_inventory
  for each row execute function monitoring.touch_updated_at();

create table public.inventory_changes (
  id bigint generated always as identity primary key,
  job_inventory_id uuid references public.job_inventory (id) on delete set null,
  project_name text not null,
  job_type text not null,
  job_name text not null,
  change text not null,
  old_value text,
  new_value text,
  noticed_at timestamptz not null default now(),
  constraint "change is a known kind" check (
    change in ('added', 'removed', 'returned', 'paused', 'resumed', 'schedule', 'command', 'job_id', 'version', 'status')
  )
);
comment on table public.inventory_changes is 'What discovery found different: jobs added, removed, returned, paused, resumed, rescheduled, rewritten.';
create index inventory_changes_project on public.inventory_changes (project_name, noticed_at desc);
create index inventory_changes_job on public.inventory_changes (job_inventory_id);
