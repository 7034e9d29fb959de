/** Three weeks of a hub's past, so that reports have something to say: runs, incidents, alerts, metrics, changes. */
import type postgres from "postgres";

/** How much of a past. */
export interface HistorySize {
  /** Jobs, spread over four projects. Default 12. */
  jobs?: number;
  /** Runs of each job a day. Default 24. */
  runsADay?: number;
}

/**
 * Writes the three weeks before today into an empty hub. The first job failed for hours yesterday and has an open
 * incident, the second missed slots, the third has become slower since a week. The same rows each day that it is called.
 */
export async function seedHistory(
  sql: postgres.Sql,
  { jobs = 12, runsADay = 24 }: HistorySize = {},
): Promise<void> {
  await seedJobs(sql, jobs);
  await seedRuns(sql, runsADay);
  await seedIncidents(sql);
  await seedMetrics(sql);
}

async function seedJobs(sql: postgres.Sql, jobs: number): Promise<void> {
  await sql`
    insert into project_state (project_name, status, last_read_at)
    select name, 'ok', now() from unnest(array['smoothed', 'blingsting', 'scraping', 'thordata']) as name`;
  await sql`
    insert into job_inventory (project_name, job_name, job_user, schedule, criticality, owner, description, first_seen_at)
    select (array['smoothed', 'blingsting', 'scraping', 'thordata'])[1 + n % 4],
           (array['sync_leads', 'send_digests', 'refresh_prices', 'purge_sessions', 'charge_cards', 'rebuild_search',
                  'import_orders', 'rotate_keys', 'score_listings', 'archive_events', 'warm_caches', 'reconcile_payments']
           )[1 + n % 12] || case when n < 12 then '' else '_' || n / 12 end,
           'postgres', '0 * * * *', (array['critical', 'important', 'low', null])[1 + n % 4],
           case when n % 3 = 0 then 'data team' end, case when n % 4 < 3 then 'Does its work' end,
           '2026-01-01T00:00:00Z'::timestamptz + make_interval(secs => n)
    from generate_series(0, ${jobs}::integer - 1) as n`;
  await sql`
    insert into job_state (job_inventory_id, status, last_run_at)
    select id, case when row_number() over (order by first_seen_at) = 1 then 'failed' else 'healthy' end, now()
    from job_inventory`;
  await sql`
    insert into check_runs (function_name, source, began_at, ended_at, status)
    select 'check-job-health', 'cron', at, at + interval '2 seconds',
           case when extract(epoch from at)::bigint % 86400 = 0 then 'partial' else 'complete' end
    from generate_series(date_trunc('hour', now()) - interval '14 days', now(), interval '15 minutes') as at`;
}

async function seedRuns(sql: postgres.Sql, runsADay: number): Promise<void> {
  await sql`
    select monitoring.ensure_log_partition((now() at time zone 'UTC')::date - n) from generate_series(0, 23) as n`;
  await sql`
    insert into job_health_log (job_inventory_id, project_name, job_name, status, error_message, run_at, run_id, duration, collected_at)
    select job_id, project_name, job_name, status,
           case when status = 'failed' then (array[
             'ERROR:  duplicate key value violates unique constraint "orders_pkey"' || chr(10)
               || 'DETAIL:  Key (id)=(' || chance || ') already exists.',
             'ERROR:  canceling statement due to statement timeout',
             'could not connect to server 10.0.3.' || chance % 250 || ': Connection refused',
             'ERROR:  relation "staging_' || to_char(at, 'YYYYMMDD') || '" does not exist'])[1 + place % 4] end,
           at, place * 100000 + slot, case when status = 'success' then
             make_interval(secs => (0.4 + place % 7 * place % 11) * (0.8 + chance / 2500.0)
               * case when place = 3 and days_ago <= 7 then 2.6 else 1 end) end,
           at + interval '5 minutes'
    from (
      select *, case
        when place = 1 and days_ago = 1 and extract(hour from at at time zone 'UTC') between 14 and 17 then 'failed'
        when place = 2 and days_ago <= 2 and slot < 3 then 'missed'
        when chance < case when place % 5 = 0 then 40 else 3 end then 'failed'
        else 'success' end as status
      from (
        select j.id as job_id, j.project_name, j.job_name, row_number() over (partition by d, slot order by j.first_seen_at)::integer as place,
               d as days_ago, slot, abs(hashtext(j.job_name || d || ':' || slot)) % 1000 as chance,
               ((now() at time zone 'UTC')::date - d)::timestamp at time zone 'UTC'
                 + slot * interval '1 day' / ${runsADay}::integer as at
        from job_inventory j, generate_series(1, 22) as d, generate_series(0, ${runsADay}::integer - 1) as slot) as slots
    ) as runs`;
  await sql`
    insert into job_health_daily (job_inventory_id, day, runs, successes, failures, missed)
    select job_inventory_id, (run_at at time zone 'UTC')::date, count(*) filter (where status <> 'missed'),
           count(*) filter (where status = 'success'), count(*) filter (where status = 'failed'),
           count(*) filter (where status = 'missed')
    from job_health_log group by 1, 2`;
  await sql`select monitoring.roll_up()`;
}

async function seedIncidents(sql: postgres.Sql): Promise<void> {
  await sql`
    insert into incidents (project_name, subject_kind, subject_id, code, severity, summary, detail, job_inventory_id,
                           opened_at, resolved_at, resolution, false_alarm_at, false_alarm_by)
    select j.project_name, 'job', j.id, (array['failed', 'missed', 'slow'])[1 + n % 3],
           (array['important', 'critical', 'low'])[1 + n % 3], 'the last run failed: ERROR:  canceling statement due to statement timeout',
           jsonb_build_object('expectedAt', to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')), j.id,
           at + make_interval(mins => 3 + n % 12), at + make_interval(mins => 20 + 7 * (n % 12)), 'recovered',
           case when n % 5 = 0 then at + interval '1 hour' end, case when n % 5 = 0 then 'dana' end
    from generate_series(1, 44) as n
    join lateral (
      select ((now() at time zone 'UTC')::date - (1 + n / 2))::timestamp at time zone 'UTC' + make_interval(hours => 6 + n % 2 * 8) as at
    ) as day on true
    join (select *, row_number() over (order by first_seen_at) as place from job_inventory) as j
      on j.place = 1 + n % least(12, (select count(*) from job_inventory))`;
  await sql`
    insert into incidents (project_name, subject_kind, subject_id, code, severity, summary, detail, job_inventory_id, opened_at)
    select project_name, 'job', id, 'failed', 'critical', 'the last 4 runs failed: ERROR:  canceling statement due to statement timeout',
           jsonb_build_object('expectedAt', to_char((now() - interval '20 hours') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
           id, now() - interval '19 hours 52 minutes'
    from job_inventory order by first_seen_at limit 1`;
  await sql`
    insert into alert_deliveries (channel, event, state, sent_at, settled_at, last_error)
    select (array['slack', 'discord'])[1 + n % 2], (array['opened', 'resolved'])[1 + n % 2],
           case when n % 6 = 0 then 'cancelled' else 'sent' end, case when n % 6 > 0 then at end, at,
           case when n % 6 = 0 then 'It was over before its quiet hours were' end
    from generate_series(1, 40) as n
    join lateral (select now() - make_interval(hours => 8 * n) as at) as sent on true`;
  await sql`
    insert into silences (project_name, job_pattern, starts_at, ends_at, created_by, reason)
    values ('scraping', 'rebuild_*', now() - interval '9 days', now() + interval '5 days', 'dana', 'the index is being moved')`;
  await sql`
    insert into inventory_changes (project_name, job_type, job_name, change, old_value, new_value, noticed_at)
    select 'smoothed', 'pg_cron', (array['sync_leads', 'send_digests', 'warm_caches'])[1 + n % 3],
           (array['schedule', 'paused', 'added'])[1 + n % 3], case when n % 3 = 0 then '*/15 * * * *' end,
           case when n % 3 = 0 then '*/5 * * * *' end,
           ((now() at time zone 'UTC')::date - 1)::timestamp at time zone 'UTC' + make_interval(hours => n)
    from generate_series(1, 4) as n`;
}

async function seedMetrics(sql: postgres.Sql): Promise<void> {
  await sql`
    select monitoring.ensure_metric_partition((now() at time zone 'UTC')::date - n) from generate_series(0, 23) as n`;
  await sql`
    update metric_definitions set enabled = true
    where name in ('ai_cost_hourly', 'ai_tokens_hourly', 'ai_error_rate', 'queue_depth', 'queue_processing_time_p95', 'dead_letter_queue_size')`;
  await sql`
    insert into system_metrics (recorded_at, project_name, metric_name, value, severity)
    select at, 'smoothed', name, value * (0.7 + 0.6 * abs(sin(extract(epoch from at) / 14400)))
             * case when at > now() - interval '8 days' then growth else 1 end, 'ok'
    from (values ('database_size', 5.1e9, 1.06), ('connections_used', 42, 1.0), ('cache_hit_rate', 75, 1.0),
                 ('ai_cost_hourly', 3.4, 1.4), ('ai_tokens_hourly', 210000, 1.3), ('ai_error_rate', 0.8, 1.9),
                 ('queue_depth', 60, 1.5), ('queue_processing_time_p95', 14, 1.2), ('dead_letter_queue_size', 0, 1.0)
         ) as m(name, value, growth),
         generate_series(date_trunc('hour', now()) - interval '22 days', now(), interval '20 minutes') as at`;
  await sql`
    insert into metric_state (metric_definition_id, project_name, series, value, severity, severity_since, alarm, summary, recorded_at)
    select d.id, 'smoothed', '', l.value, case d.name when 'queue_depth' then 'warning' else 'ok' end, now(),
           case d.name when 'queue_depth' then 'warning' else 'none' end,
           case d.name when 'queue_depth' then '112 jobs, a warning from 100 jobs' else 'fine' end, now()
    from metric_definitions d
    join lateral (
      select value from system_metrics m where m.metric_name = d.name order by recorded_at desc limit 1) as l on true`;
}
