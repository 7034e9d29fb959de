-- The one way in for what checks, discovery, heartbeats and metrics saw. TypeScript decides, this writes:
-- one transaction a project, refused when another one recorded since the caller read.

create function monitoring.ensure_partition(p_table text, p_day date) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_name text := p_table || '_' || to_char(p_day, 'YYYYMMDD');
begin
  if to_regclass('monitoring.' || v_name) is not null then
    return;
  end if;
  -- two callers at midnight: the second waits, then finds it there
  perform pg_advisory_xact_lock(hashtext('monitoring.ensure_partition ' || p_table));
  execute format(
    'create table if not exists monitoring.%I partition of public.%I for values from (%L) to (%L)',
    v_name, p_table, p_day::timestamp at time zone 'UTC', (p_day + 1)::timestamp at time zone 'UTC'
  );
  execute format('alter table monitoring.%I enable row level security', v_name);
end
$$;
comment on function monitoring.ensure_partition(text, date) is 'Makes the partition of a table of daily partitions for a UTC day, if it is missing.';

create function monitoring.record_runs(p_project text, p_runs jsonb, p_keep_successes boolean) returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_count integer;
begin
  insert into public.job_health_log
    (job_inventory_id, project_name, job_name, status, error_message, run_at, run_id, duration, source)
  select r.job_inventory_id, p_project, j.job_name, r.status, r.error_message, r.run_at, r.run_id,
         make_interval(secs => r.duration_ms / 1000.0), r.source
  from jsonb_to_recordset(p_runs) as r(
         job_inventory_id uuid, status text, error_message text, run_at timestamptz, run_id bigint,
         duration_ms double precision, source text)
  join public.job_inventory j on j.id = r.job_inventory_id
  where p_keep_successes or r.status <> 'success';

  insert into public.job_health_daily as d
    (job_inventory_id, day, runs, successes, failures, missed, unknown, duration_total, duration_max)
  select r.job_inventory_id, (coalesce(r.run_at, now()) at time zone 'UTC')::date,
         count(*) filter (where r.status <> 'missed'),
         count(*) filter (where r.status = 'success'),
         count(*) filter (where r.status = 'failed'),
         count(*) filter (where r.status = 'missed'),
         count(*) filter (where r.status = 'unknown'),
         make_interval(secs => coalesce(sum(r.duration_ms), 0) / 1000.0),
         make_interval(secs => coalesce(max(r.duration_ms), 0) / 1000.0)
  from jsonb_to_recordset(p_runs) as r(
         job_inventory_id uuid, status text, run_at timestamptz, duration_ms double precision)
  group by 1, 2
  on conflict (job_inventory_id, day) do update set
    runs = d.runs + excluded.runs,
    successes = d.successes + excluded.successes,
    failures = d.failures + excluded.failures,
    missed = d.missed + excluded.missed,
    unknown = d.unknown + excluded.unknown,
    duration_total = d.duration_total + excluded.duration_total,
    duration_max = greatest(d.duration_max, excluded.duration_max);

  select count(*) into v_count from jsonb_array_elements(p_runs);
  return v_count;
end
$$;
comment on function monitoring.record_runs(text, jsonb, boolean) is 'Writes runs and missed slots to job_health_log and counts them in job_health_daily.';

create function monitoring.owe_deliveries(p_owed jsonb[]) returns integer
language sql
set search_path = ''
as $$
  with owed as materialized (
    select o.*,
           -- what has no row yet finds its own way later, so it stays by itself
           dense_rank() over (
             order by o.state, o.alert_config_id, o.event, o.code,
                      case when o.state <> 'due' then o.incident_id end) as parcel
    from unnest(p_owed) as item
    cross join lateral jsonb_to_record(item) as o(
      incident_id uuid, event text, code text, alert_config_id uuid, channel text, state text, last_error text)
  ), parcels as materialized (
    select distinct on (parcel) parcel, gen_random_uuid() as id, alert_config_id, channel, event, state, last_error
    from owed
    order by parcel
  ), inserted as (
    insert into public.alert_deliveries (id, alert_config_id, channel, event, state, last_error, admitted_at)
    select id, alert_config_id, channel, event, state, last_error, null from parcels
    returning 1
  ), told as (
    insert into public.delivery_incidents (delivery_id, incident_id)
    select distinct p.id, o.incident_id from owed o join parcels p on p.parcel = o.parcel
    returning 1
  )
  select count(*)::integer from inserted;
$$;
comment on function monitoring.owe_deliveries(jsonb[]) is 'Puts what one recording owes into the outbox, for the policy to let through: one delivery a row of alert_config, event and condition, telling of all its incidents.';

create function monitoring.record_observations(p jsonb) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_project text := p ->> 'project';
  v_version bigint;
  v_keep_successes boolean := coalesce((select value from public.app_settings where key = 'log_successes'), 'true') <> 'false';
  v_incident jsonb;
  v_incident_id uuid;
  v_code text;
  v_owed jsonb[] := '{}';
  v_logged integer;
  v_opened integer := 0;
  v_resolved integer := 0;
begin
  insert into public.project_state (project_name) values (v_project) on conflict (project_name) do nothing;
  select version into v_version from public.project_state where project_name = v_project for update;
  if v_version <> (p ->> 'expected_version')::bigint then
    raise exception 'another caller recorded project "%" meanwhile (version %, expected %)',
      v_project, v_version, p ->> 'expected_version' using errcode = 'serialization_failure';
  end if;

  -- inventory: what the project says; annotations are never named here
  insert into public.job_inventory as i
    (id, project_name, project_id, job_type, job_name, job_user, job_id, schedule, command, active,
     expected_interval_minutes, last_seen_at)
  select j.id, v_project, p ->> 'project_id', j.job_type, j.job_name, j.job_user, j.job_id, j.schedule, j.command,
         j.active, j.expected_interval_minutes, now()
  from jsonb_to_recordset(coalesce(p -> 'jobs', '[]')) as j(
         id uuid, job_type text, job_name text, job_user text, job_id bigint, schedule text, command text,
         active boolean, expected_interval_minutes numeric)
  on conflict (id) do update set
    project_id = coalesce(excluded.project_id, i.project_id),
    -- a row that a person added may have had none
    job_user = excluded.job_user,
    job_id = excluded.job_id,
    schedule = excluded.schedule,
    command = excluded.command,
    active = excluded.active,
    expected_interval_minutes = excluded.expected_interval_minutes,
    last_seen_at = excluded.last_seen_at,
    removed_at = null;

  update public.job_inventory
  set removed_at = now()
  where id in (select value::uuid from jsonb_array_elements_text(coalesce(p -> 'removed', '[]')))
    and removed_at is null;

  insert into public.inventory_changes (job_inventory_id, project_name, job_type, job_name, change, old_value, new_value)
  select c.job_inventory_id, v_project, c.job_type, c.job_name, c.change, c.old_value, c.new_value
  from jsonb_to_recordset(coalesce(p -> 'changes', '[]')) as c(
         job_inventory_id uuid, job_type text, job_name text, change text, old_value text, new_value text);

  perform monitoring.ensure_partition('job_health_log', (now() at time zone 'UTC')::date);
  v_logged := monitoring.record_runs(v_project, coalesce(p -> 'runs', '[]'), v_keep_successes);

  insert into public.job_state as s
    (job_inventory_id, status, verdict, summary, status_since, schedule, slots_since, judged_until, last_run_at,
     last_success_at, consecutive_failures, recent_runs, row_seen, checked_at)
  select t.job_inventory_id, t.status, t.verdict, t.summary, now(), t.schedule, t.slots_since, t.judged_until,
         t.last_run_at, t.last_success_at, t.consecutive_failures, t.recent_runs, t.row_seen, now()
  from jsonb_to_recordset(coalesce(p -> 'states', '[]')) as t(
         job_inventory_id uuid, status text, verdict text, summary text, schedule text, slots_since timestamptz,
         judged_until timestamptz, last_run_at timestamptz, last_success_at timestamptz,
         consecutive_failures integer, recent_runs jsonb, row_seen jsonb)
  on conflict (job_inventory_id) do update set
    status_since = case when s.status = excluded.status then s.status_since else excluded.status_since end,
    status = excluded.status,
    verdict = excluded.verdict,
    summary = excluded.summary,
    schedule = excluded.schedule,
    slots_since = excluded.slots_since,
    judged_until = excluded.judged_until,
    last_run_at = excluded.last_run_at,
    last_success_at = excluded.last_success_at,
    consecutive_failures = excluded.consecutive_failures,
    recent_runs = excluded.recent_runs,
    row_seen = excluded.row_seen,
    checked_at = excluded.checked_at;

  perform monitoring.record_http(v_project, p);

  -- incidents and what they owe, in the same transaction as what they are judged from
  for v_incident in select value from jsonb_array_elements(coalesce(p -> 'incidents', '[]')) loop
    v_incident_id := null;
    case v_incident ->> 'action'
      when 'open' then
        insert into public.incidents
          (project_name, subject_kind, subject_id, code, severity, summary, detail, job_inventory_id,
           resolved_at, resolution)
        values
          (v_project, v_incident ->> 'subject_kind', v_incident ->> 'subject_id', v_incident ->> 'code',
           v_incident ->> 'severity', v_incident ->> 'summary', coalesce(v_incident -> 'detail', '{}'),
           (v_incident ->> 'job_inventory_id')::uuid,
           case when v_incident ->> 'resolution' is not null then now() end, v_incident ->> 'resolution')
        on conflict (subject_kind, subject_id, code) where resolved_at is null do nothing
        returning id into v_incident_id;
        if v_incident_id is not null then
          v_opened := v_opened + 1;
          v_owed := v_owed || array(
            select d || jsonb_build_object('incident_id', v_incident_id, 'event', 'opened', 'code', v_incident ->> 'code')
            from jsonb_array_elements(coalesce(v_incident -> 'deliveries', '[]')) as d);
        end if;
      when 'update' then
        update public.incidents
        set summary = v_incident ->> 'summary',
            severity = v_incident ->> 'severity',
            detail = coalesce(v_incident -> 'detail', detail),
            last_seen_at = now()
        where id = (v_incident ->> 'id')::uuid and resolved_at is null;
      when 'resolve' then
        update public.incidents
        set resolved_at = now(), resolution = v_incident ->> 'resolution',
            detail = detail || coalesce(v_incident -> 'detail', '{}')
        where id = (v_incident ->> 'id')::uuid and resolved_at is null
        returning id, code into v_incident_id, v_code;
        if v_incident_id is not null then
          v_resolved := v_resolved + 1;
          v_owed := v_owed || array(
            select d || jsonb_build_object('incident_id', v_incident_id, 'event', 'resolved', 'code', v_code)
            from jsonb_array_elements(coalesce(v_incident -> 'deliveries', '[]')) as d);
        end if;
      else
        raise exception 'unknown incident action "%"', v_incident ->> 'action' using errcode = 'invalid_parameter_value';
    end case;
  end loop;
  perform monitoring.owe_deliveries(v_owed);

  update public.project_state s
  set version = s.version + 1,
      status = coalesce(t.status, s.status),
      status_since = case when coalesce(t.status, s.status) = s.status then s.status_since else now() end,
      error_code = case when t.status is null then s.error_code else t.error_code end,
      error_message = case when t.status is null then s.error_message else t.error_message end,
      run_cursor = case when p -> 'project_state' ? 'run_cursor' then t.run_cursor else s.run_cursor end,
      open_runs = coalesce(t.open_runs, s.open_runs),
      settings = coalesce(t.settings, s.settings),
      clock_offset_ms = coalesce(t.clock_offset_ms, s.clock_offset_ms),
      last_read_at = case when t.status = 'ok' then now() else s.last_read_at end,
      updated_at = now()
  from jsonb_to_record(coalesce(p -> 'project_state', '{}')) as t(
         status text, error_code text, error_message text, run_cursor bigint, open_runs jsonb, settings jsonb,
         clock_offset_ms bigint)
  where s.project_name = v_project;

  return jsonb_build_object(
    'version', v_version + 1, 'logged', v_logged, 'incidents_opened', v_opened, 'incidents_resolved', v_resolved);
end
$$;
comment on function monitoring.record_observations(jsonb) is 'Writes what one producer saw of one project: inventory, changes, runs, states, incidents and the deliveries they owe. Raises serialization_failure when expected_version is no longer current.';
