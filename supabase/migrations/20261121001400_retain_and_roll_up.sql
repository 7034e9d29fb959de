-- How long things are kept, and what stays of them: one row a job and UTC day.

alter table public.app_settings
  add constraint "health_daily_days is a whole number of days, 1 or more" check (
    key <> 'health_daily_days' or (value ~ '^[0-9]{1,5}$' and value::integer >= 1)
  ),
  add constraint "cron_history_days is a whole number of days, 1 or more" check (
    key <> 'cron_history_days' or (value ~ '^[0-9]{1,4}$' and value::integer >= 1)
  ),
  add constraint "cron_history_jobs is ours or all" check (key <> 'cron_history_jobs' or value in ('ours', 'all'));

insert into public.app_settings (key, value, description) values
  ('health_daily_days', '400', 'How many days of job_health_daily, inventory_changes and resolved history are kept.'),
  ('cron_history_days', '14', 'How many days of finished runs are kept in the hub''s own cron.job_run_details, which pg_cron never clears.'),
  ('cron_history_jobs', 'ours', 'Whose runs those are: ours (the monitor''s own schedules, some 1,800 rows a day) or all (every job of the hub).');

alter table public.job_health_daily
  add column duration_p50 interval,
  add column duration_p95 interval,
  add column durations_at timestamptz,
  add column uptime numeric generated always as (
    case when successes + failures + missed > 0
      then round(successes::numeric / (successes + failures + missed), 4)
    end
  ) stored;
comment on column public.job_health_daily.runs is 'Runs; a slot that was missed is none.';
comment on column public.job_health_daily.successes is 'Runs that succeeded, and whose HTTP calls did as far as they were seen.';
comment on column public.job_health_daily.failures is 'Runs that failed, or one of whose HTTP calls did.';
comment on column public.job_health_daily.missed is 'Slots that nothing ran for.';
comment on column public.job_health_daily.unknown is 'Runs of which nobody knows how they ended.';
comment on column public.job_health_daily.duration_p50 is 'Median duration of the successful runs, interpolated (percentile_cont). Empty where not every run of the day is in job_health_log.';
comment on column public.job_health_daily.duration_p95 is 'What 95 % of the successful runs did not exceed, likewise.';
comment on column public.job_health_daily.durations_at is 'When those two were computed. Empty: runs came in since, and the next roll-up computes them.';
comment on column public.job_health_daily.uptime is 'Of the runs that were due and whose end is known, the part that succeeded: 0 to 1. Empty where nothing is known.';
create index job_health_daily_to_roll_up on public.job_health_daily (day) where durations_at is null;

create or replace function monitoring.record_runs(p_project text, p_runs jsonb, p_keep_successes boolean) returns integer
language plpgsql
set search_path = ''
as $$
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

  with seen as (
    select r.*, (coalesce(r.run_at, now()) at time zone 'UTC')::date as day,
           -- what became of a run's calls changes how that run counts; of no run that was counted, it changes nothing
           r.source is not distinct from 'http' as of_run
    from jsonb_to_recordset(p_runs) as r(
           job_inventory_id uuid, status text, run_at timestamptz, run_id bigint, duration_ms double precision, source text)
    where r.source is distinct from 'http' or (r.run_id is not null and r.status <> 'success')
  ), counted as (
    select job_inventory_id, day,
           count(*) filter (where status <> 'missed' and not of_run) as runs,
           count(*) filter (where status = 'success' and not of_run)
             - count(*) filter (where of_run) as successes,
           count(*) filter (where status = 'failed') as failures,
           count(*) filter (where status = 'missed') as missed,
           count(*) filter (where status = 'unknown') as unknown,
           make_interval(secs => coalesce(sum(duration_ms), 0) / 1000.0) as duration_total,
           make_interval(secs => coalesce(max(duration_ms), 0) / 1000.0) as duration_max
    from seen
    group by 1, 2
  )
  insert into public.job_health_daily as d
    (job_inventory_id, day, runs, successes, failures, missed, unknown, duration_total, duration_max)
  select * from counted
  on conflict (job_inventory_id, day) do update set
    runs = d.runs + excluded.runs,
    successes = d.successes + excluded.successes,
    failures = d.failures + excluded.failures,
    missed = d.missed + excluded.missed,
    unknown = d.unknown + excluded.unknown,
    duration_total = d.duration_total + excluded.duration_total,
    duration_max = greatest(d.duration_max, excluded.duration_max),
    durations_at = null;

  return jsonb_array_length(p_runs);
end
$$;
comment on function monitoring.record_runs(text, jsonb, boolean) is 'Writes runs and missed slots to job_health_log and counts them in job_health_daily: a run once, as its HTTP calls ended where those are known.';

create function monitoring.roll_up() returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_today date := (now() at time zone 'UTC')::date;
  v_days integer := coalesce((select value::integer from public.app_settings where key = 'health_log_days'), 90);
  v_day date;
  v_count integer;
  v_total integer := 0;
begin
  for v_day in
    select distinct day from public.job_health_daily
    -- of older days the log is incomplete: what was computed stays
    where durations_at is null and day < v_today and day > v_today - v_days
    order by day
  loop
    with of_day as (
      select l.job_inventory_id, count(*) as runs,
             percentile_cont(0.5) within group (order by l.duration) filter (where l.status = 'success') as p50,
             percentile_cont(0.95) within group (order by l.duration) filter (where l.status = 'success') as p95
      from public.job_health_log l
      -- nothing is collected before it ran, but for a clock that is ahead
      where l.collected_at >= (v_day - 1)::timestamp at time zone 'UTC'
        and coalesce(l.run_at, l.collected_at) >= v_day::timestamp at time zone 'UTC'
        and coalesce(l.run_at, l.collected_at) < (v_day + 1)::timestamp at time zone 'UTC'
        and l.status <> 'missed' and l.source <> 'http'
      group by l.job_inventory_id
    )
    update public.job_health_daily d
    -- successes that are not kept one by one leave no durations: a median of the others would be a guess
    set duration_p50 = case when o.runs = d.runs then o.p50 end,
        duration_p95 = case when o.runs = d.runs then o.p95 end,
        durations_at = now()
    from public.job_health_daily t
    left join of_day o using (job_inventory_id)
    where t.day = v_day and t.durations_at is null
      and d.job_inventory_id = t.job_inventory_id and d.day = t.day;
    get diagnostics v_count = row_count;
    v_total := v_total + v_count;
  end loop;
  return v_total;
end
$$;
comment on function monitoring.roll_up() is 'Computes the durations of job_health_daily for every past day that runs came in for since, also late ones. Answers the number of rows. Run daily, and not in one transaction with purge(): a check may wait for one of its rows and hold what the other wants.';

create table monitoring.purge_state (
  only_row boolean primary key default true,
  cron_runid bigint not null default 0,
  cron_history_jobs text not null default 'ours',
  constraint "there is one row" check (only_row)
);
comment on table monitoring.purge_state is 'How far purge() has come in the hub''s cron.job_run_details, whose only index is on runid.';
insert into monitoring.purge_state default values;

create function monitoring.purge_cron_history(p_limit integer) returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_days integer := coalesce((select value::integer from public.app_settings where key = 'cron_history_days'), 14);
  v_jobs text := coalesce((select value from public.app_settings where key = 'cron_history_jobs'), 'ours');
  v_newest bigint := (select max(runid) from cron.job_run_details);
  v_from bigint := (select cron_runid from monitoring.purge_state);
  v_until bigint;
  v_deleted integer;
begin
  -- the history was replaced, or what was passed over is to go now
  if v_from > v_newest or v_jobs <> (select cron_history_jobs from monitoring.purge_state) then
    v_from := 0;
    update monitoring.purge_state set cron_runid = 0, cron_history_jobs = v_jobs;
  end if;
  -- runs are numbered as they start: the first that is young enough ends the range
  select max(runid) into v_until
  from (select runid, min(case when coalesce(start_time, end_time) >= now() - make_interval(days => v_days) then runid end)
                        over () as first_young
        from (select runid, start_time, end_time from cron.job_run_details
              where runid > v_from order by runid limit p_limit) page) p
  where first_young is null or runid < first_young;
  if v_until is null then
    return 0;
  end if;
  delete from cron.job_run_details d
  where d.runid in (
    select r.runid from cron.job_run_details r
    -- the newest stays: by it the next check sees that the history goes on
    where r.runid > v_from and r.runid <= v_until and r.runid <> v_newest
      and r.status in ('succeeded', 'failed')
      and (v_jobs = 'all'
        or (r.username = current_user and (
          r.command in (select command from monitoring.schedules)
          -- a command of ours that has changed since
          or r.jobid in (select jobid from cron.job where jobname in (select job_name from monitoring.schedules)))))
    for update skip locked
  );
  get diagnostics v_deleted = row_count;
  update monitoring.purge_state set cron_runid = v_until;
  return v_deleted;
end
$$;
comment on function monitoring.purge_cron_history(integer) is 'Deletes finished runs from one page of the hub''s cron.job_run_details, by runid. Rows that somebody has locked stay.';

create function monitoring.purge_log_partitions() returns integer
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_days integer := coalesce((select value::integer from public.app_settings where key = 'health_log_days'), 90);
  v_oldest text := 'job_health_log_' || to_char((now() at time zone 'UTC')::date - v_days, 'YYYYMMDD');
  v_partition text;
  v_dropped integer := 0;
begin
  for v_partition in
    select c.relname
    from pg_catalog.pg_inherits h
    join pg_catalog.pg_class c on c.oid = h.inhrelid
    where h.inhparent = 'public.job_health_log'::regclass and c.relname < v_oldest
    order by c.relname
  loop
    execute format('drop table monitoring.%I', v_partition);
    v_dropped := v_dropped + 1;
  end loop;
  return v_dropped;
end
$$;
comment on function monitoring.purge_log_partitions() is 'Drops the daily partitions of job_health_log that are older than app_settings.health_log_days. Raises lock_not_available rather than wait for long.';

create function monitoring.purge(p_batch integer default 5000, p_batches integer default 20) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_log_days integer := coalesce((select value::integer from public.app_settings where key = 'health_log_days'), 90);
  v_daily_days integer := coalesce((select value::integer from public.app_settings where key = 'health_daily_days'), 400);
  v_done jsonb := '{}';
  v_task record;
  v_count integer;
  v_total integer;
  v_from bigint;
begin
  for v_offset in 0..7 loop
    perform monitoring.ensure_partition('job_health_log', (now() at time zone 'UTC')::date + v_offset);
  end loop;
  for v_task in
    select * from (values
      ('daily', format(
        'delete from public.job_health_daily where (job_inventory_id, day) in (
           select job_inventory_id, day from public.job_health_daily where day < %L order by day limit %s
           for update skip locked)',
        (now() at time zone 'UTC')::date - v_daily_days, p_batch)),
      ('inventory_changes', format(
        'delete from public.inventory_changes where id in (
           select id from public.inventory_changes where noticed_at < %L order by id limit %s for update skip locked)',
        now() - make_interval(days => v_daily_days), p_batch)),
      ('check_runs', format(
        'delete from public.check_runs where id in (
           select id from public.check_runs where began_at < %L order by began_at limit %s for update skip locked)',
        now() - make_interval(days => v_log_days), p_batch)),
      ('calls', format(
        'delete from monitoring.edge_function_calls where ctid in (
           select ctid from monitoring.edge_function_calls where called_at < %L order by called_at limit %s
           for update skip locked)',
        now() - interval '7 days', p_batch))
    ) as tasks(name, statement)
  loop
    v_total := 0;
    for v_batch in 1..p_batches loop
      execute v_task.statement;
      get diagnostics v_count = row_count;
      v_total := v_total + v_count;
      exit when v_count < p_batch;
    end loop;
    v_done := v_done || jsonb_build_object(v_task.name, v_total);
  end loop;

  v_total := 0;
  for v_batch in 1..p_batches loop
    v_from := (select cron_runid from monitoring.purge_state);
    v_total := v_total + monitoring.purge_cron_history(p_batch);
    exit when v_from = (select cron_runid from monitoring.purge_state);
  end loop;
  v_done := v_done || jsonb_build_object('cron_runs', v_total);

  v_total := 0;
  for v_batch in 1..p_batches loop
    v_count := monitoring.purge_function_reports(p_batch);
    v_total := v_total + v_count;
    exit when v_count = 0;
  end loop;
  v_done := v_done || jsonb_build_object('function_reports', v_total);

  v_total := 0;
  for v_batch in 1..p_batches loop
    v_count := monitoring.prune_heartbeat_pings();
    v_total := v_total + v_count;
    exit when v_count = 0;
  end loop;
  v_done := v_done || jsonb_build_object('heartbeat_pings', v_total, 'alerts', monitoring.purge_alerts());

  -- defined after this one
  if to_regprocedure('monitoring.purge_metrics()') is not null then
    execute 'select to_jsonb(monitoring.purge_metrics())' into v_task;
    v_done := v_done || jsonb_build_object('metrics', v_task.to_jsonb);
  end if;

  -- last, since it locks the log until the end
  begin
    v_done := v_done || jsonb_build_object('partitions', monitoring.purge_log_partitions());
  exception when lock_not_available or deadlock_detected then
    v_done := v_done || jsonb_build_object('partitions', 0, 'postponed', 'job_health_log is in use: its old partitions go next time');
  end;
  return v_done;
end
$$;
comment on function monitoring.purge(integer, integer) is
  'Keeps partitions of job_health_log a week ahead, and deletes what is older than app_settings says: in batches, at most p_batches of p_batch rows a table, the rest the next day. Never an open incident. Run daily.';

alter table monitoring.purge_state enable row level security;
revoke all on table monitoring.purge_state from public, anon, authenticated;
revoke execute on all functions in schema monitoring from public;

select monitoring.purge();
