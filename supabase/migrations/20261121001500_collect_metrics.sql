-- Numbers of the projects: what is asked (people edit it), how it went, what was answered, and the function that writes
-- it. What a number means is decided by rules/metrics.ts; its incidents go through record_observations like any other.

insert into public.app_settings (key, value, description) values
  ('metrics_days', '90', 'How many days of system_metrics are kept.');
alter table public.app_settings
  add constraint "metrics_days is a whole number of days, 1 to 3650" check (
    key <> 'metrics_days' or (value ~ '^[0-9]{1,4}$' and value::integer between 1 and 3650)
  );

-- --- what people write ---

create table public.metric_definitions (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  project_name text,
  enabled boolean not null default true,
  description text,
  query text not null,
  needs text,
  unit text,
  direction text not null default 'up',
  judged_by text not null default 'value',
  warning double precision,
  critical double precision,
  hysteresis double precision not null default 0,
  least_difference double precision not null default 0,
  for_minutes integer not null default 0,
  no_data text not null default 'unknown',
  interval_minutes integer not null default 5,
  timeout_seconds integer not null default 5,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint metric_definitions_identity unique nulls not distinct (name, project_name),
  constraint "name is lower case letters, digits or _" check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint "project_name is not empty (use NULL for every project)" check (btrim(project_name) <> ''),
  constraint "query is a select" check (query ~* '^\s*(select|with|table|values)\M'),
  constraint "query has at most 10000 characters" check (length(query) <= 10000),
  constraint "needs is schema.table, or several with commas between" check (
    needs ~ '^[A-Za-z_][A-Za-z0-9_$]*\.[A-Za-z_][A-Za-z0-9_$]*(\s*,\s*[A-Za-z_][A-Za-z0-9_$]*\.[A-Za-z_][A-Za-z0-9_$]*){0,9}$'
  ),
  constraint "unit has at most 30 characters" check (length(unit) <= 30),
  constraint "direction is up, down or both" check (direction in ('up', 'down', 'both')),
  constraint "judged_by is value or own weeks" check (judged_by in ('value', 'own weeks')),
  constraint "direction both needs judged_by own weeks" check (direction <> 'both' or judged_by = 'own weeks'),
  -- NaN is greater than everything
  constraint "warning is a finite number" check (warning > '-Infinity' and warning < 'Infinity'),
  constraint "critical is a finite number" check (critical > '-Infinity' and critical < 'Infinity'),
  constraint "critical is not reached before warning" check (
    case when direction = 'down' and judged_by = 'value' then critical <= warning else critical >= warning end
    or warning >= 'Infinity' or critical >= 'Infinity'
  ),
  constraint "with own weeks, warning and critical are more than 0" check (
    judged_by <> 'own weeks' or (coalesce(warning, 1) > 0 and coalesce(critical, 1) > 0)
  ),
  constraint "hysteresis is 0 or more" check (hysteresis >= 0 and hysteresis < 'Infinity'),
  constraint "least_difference is 0 or more" check (least_difference >= 0 and least_difference < 'Infinity'),
  constraint "least_difference needs judged_by own weeks" check (least_difference = 0 or judged_by = 'own weeks'),
  constraint "for_minutes is 0 to 1440" check (for_minutes between 0 and 1440),
  constraint "no_data is unknown, ok, warning or critical" check (no_data in ('unknown', 'ok', 'warning', 'critical')),
  constraint "interval_minutes is 5 to 1440" check (interval_minutes between 5 and 1440),
  constraint "timeout_seconds is 1 to 30" check (timeout_seconds between 1 and 30)
);
comment on table public.metric_definitions is 'Numbers that collect-metrics asks the projects for, and from where on they are a warning or critical. A row with a project comes before the row of the same name for every project; switched off, it switches the metric off there.';
comment on column public.metric_definitions.name is 'Name of the metric.';
comment on column public.metric_definitions.project_name is 'The project that is asked. Empty: every project.';
comment on column public.metric_definitions.enabled is 'false: not asked.';
comment on column public.metric_definitions.description is 'What the number means and what to do about it. Told in alerts.';
comment on column public.metric_definitions.query is 'A select that answers one number, or rows whose last column is the number and whose other columns (up to 5) are labels. At most 100 rows. Runs read-only, as the role of the project''s URL, with row_security off.';
comment on column public.metric_definitions.needs is 'Tables without which the metric does not apply to a project: schema.table, several with commas between. Empty: always asked.';
comment on column public.metric_definitions.unit is 'bytes, seconds, percent, USD, or any word.';
comment on column public.metric_definitions.direction is 'Which way is worse: up, down, or both (only with judged_by own weeks).';
comment on column public.metric_definitions.judged_by is 'value: warning and critical are values. own weeks: they are how many times farther than usual the value is from what it was at this hour of the last 8 weeks.';
comment on column public.metric_definitions.warning is 'From here on (this value included) it is a warning: an incident of severity important. Empty: never.';
comment on column public.metric_definitions.critical is 'From here on (this value included) it is critical. Empty: never.';
comment on column public.metric_definitions.hysteresis is 'How far the value must come back from warning or critical before that is over, in the unit of those.';
comment on column public.metric_definitions.least_difference is 'With own weeks: a value closer than this to the usual one is never unusual.';
comment on column public.metric_definitions.for_minutes is 'How many minutes it must hold before it alerts.';
comment on column public.metric_definitions.no_data is 'What it means when there is no number: unknown (shown so, no alert), ok, warning or critical.';
comment on column public.metric_definitions.interval_minutes is 'Minutes between two answers.';
comment on column public.metric_definitions.timeout_seconds is 'Seconds after which the query is given up.';

create trigger metric_definitions_tidy_text
  before insert or update of description, query, needs, unit on public.metric_definitions
  for each row execute function monitoring.tidy_text('description', 'query', 'needs', 'unit');
create trigger metric_definitions_updated_at before update on public.metric_definitions
  for each row execute function monitoring.touch_updated_at();

-- --- what the machine keeps ---

create table public.metric_collections (
  metric_definition_id uuid not null references public.metric_definitions (id) on delete cascade,
  project_name text not null,
  status text not null,
  error text,
  failures integer not null default 0,
  failing_since timestamptz,
  asked_at timestamptz,
  took_ms integer,
  updated_at timestamptz not null default now(),
  primary key (metric_definition_id, project_name),
  constraint "status is ok, failed, not_applicable or not_asked" check (
    status in ('ok', 'failed', 'not_applicable', 'not_asked')
  ),
  constraint "a failed query says why" check (status <> 'failed' or error is not null)
);
comment on table public.metric_collections is 'How each metric''s query went the last time, per project.';
comment on column public.metric_collections.failures is 'Failed answers in a row.';
comment on column public.metric_collections.asked_at is 'When it was last asked. The longest waiting are asked first.';

create table public.metric_state (
  metric_definition_id uuid not null references public.metric_definitions (id) on delete cascade,
  project_name text not null,
  series text not null,
  labels jsonb not null default '{}',
  value double precision,
  severity text not null,
  severity_since timestamptz not null,
  summary text,
  alarm text not null default 'none',
  warning_since timestamptz,
  critical_since timestamptz,
  no_data_since timestamptz,
  recorded_at timestamptz not null,
  primary key (metric_definition_id, project_name, series),
  constraint "severity is ok, warning, critical or unknown" check (severity in ('ok', 'warning', 'critical', 'unknown')),
  constraint "alarm is none, warning or critical" check (alarm in ('none', 'warning', 'critical'))
);
comment on table public.metric_state is 'The latest number of each series (one set of labels of a metric of a project), and what the next one is judged by.';
comment on column public.metric_state.series is 'The labels as text; empty for a metric without.';
comment on column public.metric_state.severity is 'What the latest number means; unknown also while the query fails.';
comment on column public.metric_state.alarm is 'What has held for long enough to alert and is not over.';
comment on column public.metric_state.recorded_at is 'When the latest number was read.';

create table public.system_metrics (
  recorded_at timestamptz not null default now(),
  project_name text not null,
  metric_name text not null,
  labels jsonb not null default '{}',
  value double precision,
  severity text not null,
  constraint "severity is ok, warning, critical or unknown" check (severity in ('ok', 'warning', 'critical', 'unknown'))
) partition by range (recorded_at);
comment on table public.system_metrics is 'Every number that was collected. Daily partitions, kept for app_settings.metrics_days.';
comment on column public.system_metrics.recorded_at is 'When the project answered, by the hub''s clock.';
comment on column public.system_metrics.labels is 'What the number is of, such as {"model": "small"}; {} for a metric without.';
comment on column public.system_metrics.value is 'The number; NULL where there was none.';
comment on column public.system_metrics.severity is 'What the number meant: ok, warning, critical, or unknown.';
create index system_metrics_series on public.system_metrics (metric_name, project_name, recorded_at);

create function monitoring.record_metrics(p jsonb) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_project text := p #>> '{observations,project}';
  v_at timestamptz := (p ->> 'recorded_at')::timestamptz;
  v_recorded jsonb;
begin
  -- first, since it locks the project and refuses what is no longer current
  v_recorded := monitoring.record_observations(p -> 'observations');

  perform monitoring.ensure_partition('system_metrics', (v_at at time zone 'UTC')::date);
  insert into public.system_metrics (recorded_at, project_name, metric_name, labels, value, severity)
  select v_at, v_project, s.metric_name, s.labels, s.value, s.severity
  from jsonb_to_recordset(coalesce(p -> 'samples', '[]')) as s(
         metric_name text, labels jsonb, value double precision, severity text);

  -- a definition may have been deleted meanwhile
  insert into public.metric_collections as c
    (metric_definition_id, project_name, status, error, failures, failing_since, asked_at, took_ms, updated_at)
  select d.id, v_project, r.status, r.error, r.failures, r.failing_since, r.asked_at, r.took_ms, v_at
  from jsonb_to_recordset(coalesce(p -> 'collections', '[]')) as r(
         metric_definition_id uuid, status text, error text, failures integer, failing_since timestamptz,
         asked_at timestamptz, took_ms integer)
  join public.metric_definitions d on d.id = r.metric_definition_id
  on conflict (metric_definition_id, project_name) do update set
    status = excluded.status,
    error = excluded.error,
    failures = excluded.failures,
    failing_since = excluded.failing_since,
    asked_at = excluded.asked_at,
    took_ms = excluded.took_ms,
    updated_at = excluded.updated_at;

  delete from public.metric_state s
  using jsonb_to_recordset(coalesce(p -> 'gone', '[]')) as g(metric_definition_id uuid, series text)
  where s.metric_definition_id = g.metric_definition_id and s.project_name = v_project and s.series = g.series;

  insert into public.metric_state as s
    (metric_definition_id, project_name, series, labels, value, severity, severity_since, summary, alarm,
     warning_since, critical_since, no_data_since, recorded_at)
  select d.id, v_project, t.series, t.labels, t.value, t.severity, v_at, t.summary, t.alarm,
         t.warning_since, t.critical_since, t.no_data_since, t.recorded_at
  from jsonb_to_recordset(coalesce(p -> 'states', '[]')) as t(
         metric_definition_id uuid, series text, labels jsonb, value double precision, severity text, summary text,
         alarm text, warning_since timestamptz, critical_since timestamptz, no_data_since timestamptz,
         recorded_at timestamptz)
  join public.metric_definitions d on d.id = t.metric_definition_id
  on conflict (metric_definition_id, project_name, series) do update set
    labels = excluded.labels,
    value = excluded.value,
    severity_since = case when s.severity = excluded.severity then s.severity_since else excluded.severity_since end,
    severity = excluded.severity,
    summary = excluded.summary,
    alarm = excluded.alarm,
    warning_since = excluded.warning_since,
    critical_since = excluded.critical_since,
    no_data_since = excluded.no_data_since,
    recorded_at = excluded.recorded_at;

  return v_recorded;
end
$$;
comment on function monitoring.record_metrics(jsonb) is 'Writes what one collection saw of one project: numbers, states, how the queries went, and by record_observations its incidents. One transaction; raises serialization_failure when another caller recorded the project meanwhile.';

create function monitoring.purge_metrics() returns jsonb
language plpgsql
set search_path = ''
-- a dashboard that reads for long is no reason to hold up whoever comes after
set lock_timeout = '3s'
as $$
declare
  v_days integer := coalesce((select value::integer from public.app_settings where key = 'metrics_days'), 90);
  v_today date := (now() at time zone 'UTC')::date;
  v_done jsonb := '{}';
  v_partition text;
  v_count integer := 0;
begin
  -- of projects that nobody asks any more
  delete from public.metric_state where recorded_at < now() - make_interval(days => v_days);
  get diagnostics v_count = row_count;
  v_done := v_done || jsonb_build_object('states', v_count);
  delete from public.metric_collections where updated_at < now() - make_interval(days => v_days);
  get diagnostics v_count = row_count;
  v_done := v_done || jsonb_build_object('collections', v_count);
  v_count := 0;
  -- last, since it locks system_metrics until the end
  begin
    for v_offset in 0..7 loop
      perform monitoring.ensure_partition('system_metrics', v_today + v_offset);
    end loop;
    for v_partition in
      select c.relname
      from pg_catalog.pg_inherits h
      join pg_catalog.pg_class c on c.oid = h.inhrelid
      where h.inhparent = 'public.system_metrics'::regclass
        and c.relname < 'system_metrics_' || to_char(v_today - v_days, 'YYYYMMDD')
      order by c.relname
    loop
      execute format('drop table monitoring.%I', v_partition);
      v_count := v_count + 1;
    end loop;
    v_done := v_done || jsonb_build_object('partitions', v_count);
  exception when lock_not_available then
    v_done := v_done || jsonb_build_object('partitions', 0, 'postponed', 'system_metrics is in use: its partitions are seen to next time');
  end;
  return v_done;
end
$$;
comment on function monitoring.purge_metrics() is 'Keeps daily partitions of system_metrics a week ahead and drops those older than app_settings.metrics_days. Run daily.';

insert into monitoring.schedules (job_name, schedule, command, description) values
  -- three minutes past, so as to meet neither checks nor heartbeats
  ('collect-metrics', '3-58/5 * * * *',
   $cmd$select monitoring.invoke_edge_function('collect-metrics', '{"source":"cron"}')$cmd$, 'Asks every project for its metrics');

-- --- metrics that every Supabase project has ---

insert into public.metric_definitions
  (name, unit, direction, warning, critical, hysteresis, for_minutes, interval_minutes, needs, description, query)
values
  ('database_size', 'bytes', 'up', null, null, 0, 0, 60, null,
   'Size of the database on disk. Set warning and critical to what the project''s plan and disk have room for.',
   'select pg_database_size(current_database())'),
  ('connections_used', 'percent', 'up', 75, 90, 5, 5, 5, null,
   'Connections in use, of those that are not reserved for superusers. At 100 nobody can connect any more: look for a pool that is too large, or sessions left idle.',
   $q$select round(100.0 * sum(numbackends)
              / (current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer), 1)
from pg_stat_database$q$),
  ('longest_transaction', 'seconds', 'up', 900, 3600, 60, 0, 5, null,
   'Age of the oldest open transaction. While it is open, vacuum cannot clean up after it, anywhere in the database.',
   -- without the privilege to see others' sessions, nobody can say
   $q$select case when pg_has_role(current_user, 'pg_read_all_stats', 'usage') then
         coalesce((select extract(epoch from max(clock_timestamp() - xact_start))
                   from pg_stat_activity
                   where backend_type = 'client backend' and pid <> pg_backend_pid()), 0) end$q$),
  ('replication_slot_lag', 'bytes', 'up', 1073741824, 3221225472, 134217728, 10, 5, null,
   'Write-ahead log that is kept for a replication slot, because its reader has not confirmed it. Past max_slot_wal_keep_size (4 GB on Supabase) the slot is lost; without that limit, the disk fills up.',
   $q$select slot_name as slot,
       pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, restart_lsn)
from pg_replication_slots
where restart_lsn is not null
order by 2 desc limit 50$q$),
  ('cache_hit_rate', 'percent', 'down', 97, 90, 0.5, 30, 15, null,
   'Share of blocks that were found in memory, since the statistics were reset. Below 99 for long, the project wants more memory or better indexes.',
   -- of a database that has hardly been used, it says nothing
   $q$select case when blks_hit + blks_read >= 100000 then round(100.0 * blks_hit / (blks_hit + blks_read), 2) end
from pg_stat_database where datname = current_database()$q$),
  ('dead_tuples', 'percent', 'up', 40, 70, 5, 60, 15, null,
   'Rows of a table that are dead and not vacuumed yet, of tables with 10,000 dead rows or more. Look for a long transaction, or let autovacuum come sooner for that table.',
   $q$select schemaname as schema, relname as "table", round(100.0 * n_dead_tup / (n_live_tup + n_dead_tup), 1)
from pg_stat_user_tables
where n_dead_tup >= 10000
order by 3 desc limit 20$q$),
  ('job_run_details_size', 'bytes', 'up', 1073741824, 5368709120, 0, 0, 60, 'cron.job_run_details',
   'Size of pg_cron''s history, which it never cleans up by itself: schedule a job that deletes old rows.',
   $q$select pg_total_relation_size(c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'cron' and c.relname = 'job_run_details'$q$),
  ('pg_net_queue_depth', 'requests', 'up', 500, 5000, 100, 10, 5, 'net.http_request_queue',
   'Requests that pg_net has yet to send, counted up to 100,000. When it grows, its worker is stuck: select net.worker_restart().',
   'select count(*) from (select from net.http_request_queue limit 100000) as queued'),
  ('wraparound_age', 'percent', 'up', 40, 75, 1, 0, 60, null,
   'How much of the transaction ids there are (2^31) the oldest unfrozen row has used up. At 100 Postgres refuses to write: find out why vacuum does not freeze.',
   $q$select round((100.0 * max(greatest(age(datfrozenxid), mxid_age(datminmxid))) / 2147483648)::numeric, 2) from pg_database$q$);

-- --- metrics of the applications: off until a project has their tables ---

insert into public.metric_definitions
  (name, enabled, unit, direction, judged_by, warning, critical, hysteresis, least_difference, for_minutes, no_data, needs, description, query)
values
  ('ai_error_rate', false, 'percent', 'up', 'value', 1, 5, 0.2, 0, 5, 'ok', 'public.ai_action_ledger',
   'AI actions of the last hour that failed.',
   $q$select round(100.0 * count(*) filter (where status <> 'success') / nullif(count(*), 0), 2)
from public.ai_action_ledger where created_at >= now() - interval '1 hour'$q$),
  ('ai_tokens_hourly', false, 'tokens', 'up', 'value', 1000000, null, 50000, 0, 0, 'unknown', 'public.ai_action_ledger',
   'Tokens of the last hour.',
   $q$select coalesce(sum(total_tokens), 0)
from public.ai_action_ledger where created_at >= now() - interval '1 hour'$q$),
  ('ai_cost_hourly', false, 'USD', 'up', 'value', 100, null, 5, 0, 0, 'unknown', 'public.ai_action_ledger',
   'Cost of AI actions of the last hour.',
   $q$select coalesce(sum(cost_usd), 0)
from public.ai_action_ledger where created_at >= now() - interval '1 hour'$q$),
  ('queue_depth', false, 'jobs', 'up', 'value', 100, 1000, 10, 0, 5, 'unknown', 'public.ingest_jobs',
   'Jobs that wait in the queue.',
   $q$select count(*) from public.ingest_jobs where status = 'pending'$q$),
  ('queue_processing_time_p95', false, 'seconds', 'up', 'value', 30, 60, 3, 0, 5, 'ok', 'public.ingest_jobs',
   'Time from a job''s creation to its completion that 95 of 100 jobs of the last hour stayed under.',
   $q$select percentile_cont(0.95) within group (order by extract(epoch from completed_at - created_at))
from public.ingest_jobs where completed_at >= now() - interval '1 hour'$q$),
  ('audit_activity_hourly', false, 'actions', 'both', 'own weeks', 4, 8, 1, 20, 10, 'unknown', 'public.audit_log',
   'Audited actions of the last hour: far more or far fewer than at this hour of other weeks.',
   $q$select count(*) from public.audit_log where created_at >= now() - interval '1 hour'$q$),
  ('dead_letter_queue_size', false, 'jobs', 'up', 'value', 1, 100, 0, 0, 0, 'unknown', 'public.dead_letter_queue',
   'Jobs that were given up and wait for a person.',
   'select count(*) from public.dead_letter_queue');

-- with labels: what dashboards split by. Nothing alerts before somebody sets a threshold.
insert into public.metric_definitions (name, enabled, unit, interval_minutes, needs, description, query)
values
  ('ai_tokens_by_model_hourly', false, 'tokens', 15, 'public.ai_action_ledger',
   'Tokens of the last hour by model.',
   $q$select coalesce(model, 'none') as model, coalesce(sum(total_tokens), 0)
from public.ai_action_ledger where created_at >= now() - interval '1 hour'
group by 1 order by 2 desc limit 50$q$),
  ('ai_cost_by_actor_hourly', false, 'USD', 15, 'public.ai_action_ledger',
   'Cost of the last hour by kind of actor.',
   $q$select coalesce(actor_type, 'none') as actor, coalesce(sum(cost_usd), 0)
from public.ai_action_ledger where created_at >= now() - interval '1 hour'
group by 1 order by 2 desc limit 50$q$),
  ('ai_success_rate_by_action', false, 'percent', 15, 'public.ai_action_ledger',
   'AI actions of the last hour that succeeded, by action.',
   $q$select coalesce(action, 'none') as action, round(100.0 * count(*) filter (where status = 'success') / count(*), 2)
from public.ai_action_ledger where created_at >= now() - interval '1 hour'
group by 1 order by count(*) desc limit 50$q$),
  ('ai_actions_by_status_hourly', false, 'actions', 15, 'public.ai_action_ledger',
   'AI actions of the last hour by action and status.',
   $q$select coalesce(action, 'none') as action, coalesce(status, 'none') as status, count(*)
from public.ai_action_ledger where created_at >= now() - interval '1 hour'
group by 1, 2 order by 3 desc limit 100$q$),
  ('ai_errors_by_message_hourly', false, 'errors', 15, 'public.ai_action_ledger',
   'The ten errors that AI actions of the last hour met most often, numbers and quoted values folded.',
   $q$select coalesce(action, 'none') as action, coalesce(left(
         regexp_replace(
           regexp_replace(left(error_message, 400), '"[^"]*"|''[^'']*''', '<value>', 'g'),
           '\m[0-9a-f]*[0-9][0-9a-f-]*\M|[0-9]+', '<n>', 'g'), 120), 'none') as error,
       count(*)
from public.ai_action_ledger where created_at >= now() - interval '1 hour' and status <> 'success'
group by 1, 2 order by 3 desc, 1, 2 limit 10$q$),
  ('ai_response_time_by_bucket', false, 'actions', 5, 'public.ai_action_ledger',
   'AI actions of the last 5 minutes by response time; latency_bucket is the longest of its bucket in milliseconds.',
   $q$select b.upper as latency_bucket, count(l.duration_ms)
from (values (100, -1), (250, 100), (500, 250), (1000, 500), (2500, 1000), (5000, 2500), (10000, 5000), (30000, 10000),
             (2147483647, 30000)) as b(upper, lower)
left join public.ai_action_ledger l
  on l.duration_ms > b.lower and l.duration_ms <= b.upper and l.created_at >= now() - interval '5 minutes'
group by b.upper order by b.upper$q$),
  ('queue_jobs_by_status', false, 'jobs', 5, 'public.ingest_jobs',
   'Jobs of the last day by status.',
   $q$select coalesce(status, 'none') as status, count(*)
from public.ingest_jobs where created_at >= now() - interval '1 day'
group by 1 order by 2 desc limit 50$q$),
  ('queue_processing_time', false, 'seconds', 5, 'public.ingest_jobs',
   'Time from a job''s creation to its completion that 50, 95 and 99 of 100 jobs of the last hour stayed under.',
   $q$select 'p' || round(100 * p) as quantile, seconds
from (select array[0.5, 0.95, 0.99] as ps, percentile_cont(array[0.5, 0.95, 0.99])
               within group (order by extract(epoch from completed_at - created_at)) as ss
      from public.ingest_jobs where completed_at >= now() - interval '1 hour') as a,
     unnest(ps, ss) as q(p, seconds)$q$);

alter table public.metric_definitions enable row level security;
alter table public.metric_collections enable row level security;
alter table public.metric_state enable row level security;
alter table public.system_metrics enable row level security;
revoke all on table public.metric_definitions, public.metric_collections, public.metric_state, public.system_metrics
  from public, anon, authenticated;
revoke execute on all functions in schema monitoring from public;

select monitoring.purge_metrics();
