-- What export-runs tells others of: runs and incidents as traces, runs of jobs as check-ins to Sentry. A cursor for each,
-- which moves only once what came before it was taken; so everything is told once, or again after a failure.

insert into public.app_settings (key, value, description) values
  ('sentry_job_check_ins', 'none', 'Which jobs'' runs are told to Sentry''s crons, with SENTRY_DSN: none, critical, important (and critical), or all. Sentry charges for each monitor.');
alter table public.app_settings
  add constraint "sentry_job_check_ins is none, critical, important or all" check (
    key <> 'sentry_job_check_ins' or value in ('none', 'critical', 'important', 'all')
  );

create table monitoring.export_state (
  exporter text primary key,
  runs_at timestamptz not null,
  runs_id uuid not null default '00000000-0000-0000-0000-000000000000',
  incidents_at timestamptz not null,
  incidents_id uuid not null default '00000000-0000-0000-0000-000000000000',
  lease_token uuid,
  leased_until timestamptz,
  constraint "exporter is traces or check_ins" check (exporter in ('traces', 'check_ins'))
);
comment on table monitoring.export_state is 'How far each exporter has come. A row is made when it is first used: what is older than an hour then is not exported.';
comment on column monitoring.export_state.runs_at is 'collected_at of the last row of job_health_log that was taken; runs_id is its id.';
comment on column monitoring.export_state.incidents_at is 'resolved_at of the last incident that was taken; incidents_id is its id.';
comment on column monitoring.export_state.leased_until is 'Until when nobody else exports.';
alter table monitoring.export_state enable row level security;
revoke all on table monitoring.export_state from public, anon, authenticated;

create function monitoring.complete_until() returns timestamptz
language sql
volatile
set search_path = ''
as $$
  -- now() of a transaction is when it began: what is open may still add rows that are stamped so. One that is forgotten
  -- open holds nobody up for longer than a statement may take here.
  select greatest(now() - interval '5 minutes', least(now(), min(xact_start)))
  from pg_catalog.pg_stat_activity
  where datname = current_database() and backend_type <> 'autovacuum worker' and pid <> pg_backend_pid()
$$;
comment on function monitoring.complete_until() is 'Before this time no row can come in any more that is stamped with now().';

create function monitoring.lease_export(p_exporter text) returns uuid
language sql
set search_path = ''
as $$
  insert into monitoring.export_state as s (exporter, runs_at, incidents_at, lease_token, leased_until)
  values (p_exporter, now() - interval '1 hour', now() - interval '1 hour', gen_random_uuid(), now() + interval '3 minutes')
  on conflict (exporter) do update set lease_token = excluded.lease_token, leased_until = excluded.leased_until
  where s.leased_until is null or s.leased_until < now()
  returning lease_token
$$;
comment on function monitoring.lease_export(text) is 'Lets one caller export for three minutes; NULL while another does.';

create function monitoring.traces_to_export(p_limit integer) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_state monitoring.export_state;
  v_until timestamptz := monitoring.complete_until();
  v_runs jsonb;
  v_incidents jsonb;
begin
  -- a statement of its own, so that it sees what was complete at v_until
  select * into v_state from monitoring.export_state where exporter = 'traces';
  select coalesce(jsonb_agg(to_jsonb(r) order by r.cursor_at, r.id), '[]') into v_runs
  from (
    select l.id, to_json(l.collected_at) #>> '{}' as cursor_at, l.project_name as project, l.job_name as job,
           j.job_user as "user", j.job_type as type, l.status, left(l.error_message, 1000) as error, l.source, l.run_id,
           (extract(epoch from coalesce(l.run_at, l.collected_at)) * 1000000)::bigint::text as began_us,
           (extract(epoch from coalesce(l.run_at, l.collected_at) + coalesce(l.duration, interval '0')) * 1000000)::bigint::text as ended_us
    from public.job_health_log l
    left join public.job_inventory j on j.id = l.job_inventory_id
    where l.collected_at >= v_state.runs_at and l.collected_at < v_until
      and (l.collected_at, l.id) > (v_state.runs_at, v_state.runs_id)
    order by l.collected_at, l.id
    limit p_limit) as r;
  select coalesce(jsonb_agg(to_jsonb(i) order by i.cursor_at, i.id), '[]') into v_incidents
  from (
    select i.id, to_json(i.resolved_at) #>> '{}' as cursor_at, i.project_name as project, i.subject_kind as kind,
           coalesce(j.job_name, i.detail ->> 'subjectName', i.subject_id) as subject, i.code, i.severity,
           left(i.summary, 1000) as summary, i.resolution,
           (extract(epoch from i.opened_at) * 1000000)::bigint::text as began_us,
           (extract(epoch from i.resolved_at) * 1000000)::bigint::text as ended_us
    from public.incidents i
    left join public.job_inventory j on j.id = i.job_inventory_id
    where i.resolved_at >= v_state.incidents_at and i.resolved_at < v_until
      and (i.resolved_at, i.id) > (v_state.incidents_at, v_state.incidents_id)
    order by i.resolved_at, i.id
    limit greatest(0, p_limit - jsonb_array_length(v_runs))) as i;
  return jsonb_build_object('runs', v_runs, 'incidents', v_incidents);
end
$$;
comment on function monitoring.traces_to_export(integer) is 'The next runs, and incidents that are over, so many together at most: oldest first.';

create function monitoring.check_ins_to_export(p_limit integer) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_state monitoring.export_state;
  v_until timestamptz := monitoring.complete_until();
  v_wanted text := coalesce((select value from public.app_settings where key = 'sentry_job_check_ins'), 'none');
begin
  select * into v_state from monitoring.export_state where exporter = 'check_ins';
  return jsonb_build_object('until', to_json(v_until), 'checkIns', (
    select coalesce(jsonb_agg(to_jsonb(c) order by c.cursor_at, c.id), '[]')
    from (
      select latest.id, to_json(latest.collected_at) #>> '{}' as cursor_at, j.id as job_id, j.project_name as project,
             j.job_name as job, latest.status, extract(epoch from latest.duration)::double precision as duration_seconds,
             j.schedule, p.settings ->> 'timeZone' as time_zone
      from (
        -- the last run of each job: Sentry takes six check-ins of a monitor a minute, and asks for no more than how it is
        select distinct on (l.job_inventory_id) l.job_inventory_id, l.id, l.collected_at, l.status, l.duration
        from public.job_health_log l
        where l.collected_at >= v_state.runs_at and l.collected_at < v_until
          and (l.collected_at, l.id) > (v_state.runs_at, v_state.runs_id)
          and l.status in ('success', 'failed')
        order by l.job_inventory_id, l.collected_at desc, l.run_at desc nulls last, l.id desc) as latest
      join public.job_inventory j on j.id = latest.job_inventory_id and j.removed_at is null
      left join public.project_state p on p.project_name = j.project_name
      where v_wanted = 'all' or coalesce(j.criticality, 'important') = 'critical' and v_wanted <> 'none'
         or coalesce(j.criticality, 'important') = 'important' and v_wanted = 'important'
      order by latest.collected_at, latest.id
      limit p_limit) as c));
end
$$;
comment on function monitoring.check_ins_to_export(integer) is 'The last run of each job that Sentry is to hear of, where there is a new one: oldest first. Fewer than asked for: there is nothing else before "until".';

create function monitoring.move_export(p_exporter text, p_token uuid, p_run jsonb, p_incident jsonb) returns boolean
language sql
set search_path = ''
as $$
  with moved as (
    update monitoring.export_state
    set runs_at = coalesce((p_run ->> 'at')::timestamptz, runs_at),
        runs_id = coalesce((p_run ->> 'id')::uuid, runs_id),
        incidents_at = coalesce((p_incident ->> 'at')::timestamptz, incidents_at),
        incidents_id = coalesce((p_incident ->> 'id')::uuid, incidents_id)
    where exporter = p_exporter and lease_token = p_token
    returning 1
  )
  select exists (select from moved)
$$;
comment on function monitoring.move_export(text, uuid, jsonb, jsonb) is 'Moves the cursors to what was taken last, {"at", "id"} or NULL; false where another has the lease by now.';

create function monitoring.end_export(p_exporter text, p_token uuid) returns void
language sql
set search_path = ''
as $$
  update monitoring.export_state set lease_token = null, leased_until = null
  where exporter = p_exporter and lease_token = p_token
$$;
comment on function monitoring.end_export(text, uuid) is 'Gives the lease back.';

insert into monitoring.schedules (job_name, schedule, command, description) values
  -- after the checks, which come each quarter of an hour
  ('export-runs', '4-59/5 * * * *',
   $cmd$select monitoring.invoke_edge_function('export-runs', '{"source":"cron"}')$cmd$,
   'Tells OTLP_ENDPOINT and Sentry of runs; does nothing where neither is set');

revoke execute on all functions in schema monitoring from public;
