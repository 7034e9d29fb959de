-- What dashboards read: views in a schema of their own, and the role that may read them and nothing else. The views run
-- as their owner, so row level security stays on everywhere and needs no policy; they leave out what dashboards have no
-- business with: commands, targets, what was sent.

create schema grafana;
comment on schema grafana is 'What dashboards show, for the role grafana_reader. No schema of the API.';

do $$
begin
  -- of the whole server: another hub on it may have made it
  if not exists (select from pg_catalog.pg_roles where rolname = 'grafana_reader') then
    create role grafana_reader nologin noinherit connection limit 5;
    alter role grafana_reader set statement_timeout = '20s';
    alter role grafana_reader set idle_in_transaction_session_timeout = '60s';
    alter role grafana_reader set default_transaction_read_only = on;
    comment on role grafana_reader is 'Reads the schema grafana and nothing else. Cannot log in before somebody gives it LOGIN and a password.';
  end if;
exception when duplicate_object or unique_violation then
  null; -- somebody else made it just now
end
$$;

create view grafana.projects as
  select project_name, status, status_since, error_code, error_message, last_read_at
  from public.project_state;
comment on view grafana.projects is 'Projects, and whether they can be read.';

create view grafana.jobs as
  select j.id as job_id, j.project_name, j.job_name, j.job_type, j.job_user, j.schedule, j.active, j.owner,
         coalesce(j.criticality, 'important') as criticality, coalesce(s.status, 'unknown') as status, s.verdict,
         s.summary, s.status_since, s.last_run_at, s.last_success_at, s.consecutive_failures
  from public.job_inventory j
  left join public.job_state s on s.job_inventory_id = j.id
  where j.removed_at is null and (s.job_inventory_id is not null or j.job_type <> 'edge_function');
comment on view grafana.jobs is 'Jobs that are there, and what the last check concluded of them.';

create view grafana.runs as
  select collected_at, run_at, job_inventory_id as job_id, project_name, job_name, status, error_message, source,
         extract(epoch from duration)::double precision as duration_seconds,
         -- a run is over at its end, a slot is missed from its time on
         greatest(0, extract(epoch from collected_at - coalesce(run_at, collected_at) - coalesce(duration, interval '0')))::double precision
           as detected_after_seconds
  from public.job_health_log;
comment on view grafana.runs is 'Runs and missed slots. Filter by collected_at: days are partitions.';
comment on column grafana.runs.detected_after_seconds is 'From the end of the run, or from the missed slot, to when the monitor knew.';

create view grafana.days as
  select d.day, d.job_inventory_id as job_id, j.project_name, j.job_name, d.runs, d.successes, d.failures, d.missed,
         d.unknown, d.uptime, extract(epoch from d.duration_p50)::double precision as duration_p50_seconds,
         extract(epoch from d.duration_p95)::double precision as duration_p95_seconds
  from public.job_health_daily d
  join public.job_inventory j on j.id = d.job_inventory_id;
comment on view grafana.days is 'Runs counted per job and UTC day.';

create view grafana.incidents as
  select i.id as incident_id, i.project_name, i.subject_kind, coalesce(j.job_name, i.detail ->> 'subjectName', i.subject_id) as subject,
         i.code, i.severity, i.summary, i.opened_at, i.resolved_at, i.resolution, i.acknowledged_at, i.acknowledged_by,
         extract(epoch from coalesce(i.resolved_at, now()) - i.opened_at)::double precision as lasted_seconds
  from public.incidents i
  left join public.job_inventory j on j.id = i.job_inventory_id;
comment on view grafana.incidents is 'Incidents, open and over.';

create view grafana.deliveries as
  select created_at, sent_at, channel, event, state, attempts
  from public.alert_deliveries;
comment on view grafana.deliveries is 'Alerts that are owed or were sent: not what they say, and not to whom.';

create view grafana.checks as
  select function_name, source, began_at, ended_at, status, error,
         extract(epoch from ended_at - began_at)::double precision as took_seconds
  from public.check_runs;
comment on view grafana.checks is 'Every invocation of a function of the monitor.';

create view grafana.metrics as
  select recorded_at, project_name, metric_name, labels, value, severity
  from public.system_metrics;
comment on view grafana.metrics is 'Every number that was collected.';

create view grafana.latest_metrics as
  select s.project_name, d.name as metric_name, d.unit, s.labels, s.value,
         case when s.recorded_at < now() - make_interval(mins => 15 + 3 * d.interval_minutes) then 'unknown' else s.severity end
           as severity,
         s.alarm, s.summary, s.recorded_at
  from public.metric_state s
  join public.metric_definitions d on d.id = s.metric_definition_id;
comment on view grafana.latest_metrics is 'The latest number of each series; unknown where it was not read for three intervals and 15 minutes.';

-- Supabase's default privileges, where they reach new schemas
revoke all on schema grafana from public;
revoke all on all tables in schema grafana from public;
do $$
declare
  v_role text;
begin
  foreach v_role in array array['anon', 'authenticated'] loop
    if exists (select from pg_catalog.pg_roles where rolname = v_role) then
      execute format('revoke all on schema grafana from %I', v_role);
      execute format('revoke all on all tables in schema grafana from %I', v_role);
    end if;
  end loop;
end
$$;
grant usage on schema grafana to grafana_reader;
grant select on all tables in schema grafana to grafana_reader;
