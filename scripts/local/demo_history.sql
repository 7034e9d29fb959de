-- The demo history: weeks in the life of four projects that are made up and say so by their names, ending now. Nobody
-- watches them, so nothing changes or ends what is written here: what is open is acknowledged and was told, no delivery is
-- due, and each heartbeat has a month's grace. Takes away what an earlier seed wrote, so that it is never there twice.
-- demo_history.days says how far back it goes.

select setseed(0.42);

create temporary table demo_projects (name text, status text, error_code text, error_message text, read_at timestamptz, since timestamptz)
  on commit drop;
insert into demo_projects values
  ('demo-shop', 'ok', null, null, now() - interval '4 minutes', now() - interval '40 days'),
  ('demo-crawler', 'ok', null, null, now() - interval '4 minutes', now() - interval '40 days'),
  ('demo-assistant', 'ok', null, null, now() - interval '4 minutes', now() - interval '40 days'),
  ('demo-archive', 'error', 'project_paused', 'Cannot connect to project "demo-archive": its host name does not resolve; is it paused or deleted?',
   now() - interval '3 hours', now() - interval '3 hours');

-- --- what an earlier seed wrote ---

delete from public.alert_deliveries where id in (
  select t.delivery_id from public.delivery_incidents t
  join public.incidents i on i.id = t.incident_id
  where i.project_name in (select name from demo_projects));
delete from public.incidents where project_name in (select name from demo_projects);
delete from public.silences where project_name in (select name from demo_projects);
delete from public.metric_state where project_name in (select name from demo_projects);
delete from public.metric_collections where project_name in (select name from demo_projects);
delete from public.system_metrics where project_name in (select name from demo_projects);
delete from public.function_executions where project_name in (select name from demo_projects);
delete from public.function_minutes where project_name in (select name from demo_projects);
delete from public.job_heartbeats where project_name in (select name from demo_projects);
delete from public.inventory_changes where project_name in (select name from demo_projects);
delete from public.job_inventory where project_name in (select name from demo_projects);
delete from public.project_state where project_name in (select name from demo_projects);
delete from public.check_runs where source = 'demo';

-- --- projects and jobs ---

select monitoring.ensure_partition('job_health_log', (now() at time zone 'UTC')::date - d),
       monitoring.ensure_partition('system_metrics', (now() at time zone 'UTC')::date - d)
from generate_series(0, current_setting('demo_history.days')::integer + 1) as d;

insert into public.project_state (project_name, version, status, error_code, error_message, status_since, last_read_at, settings)
select name, 1, status, error_code, error_message, since, read_at, '{"launcherAlive": true, "logRun": true}' from demo_projects;

create temporary table demo_jobs (
  id uuid default gen_random_uuid(), project text, job text, schedule text, every interval, starts interval, seconds double precision,
  flaw text, criticality text, owner text, description text, error text
) on commit drop;
insert into demo_jobs (project, job, schedule, every, starts, seconds, flaw, criticality, owner, description, error) values
  ('demo-shop', 'sync_orders', '*/15 * * * *', '15 minutes', '0', 8, 'fails now', 'critical', 'ada', 'Copies new orders from the payment provider',
   E'ERROR:  order_page(%n) answered 502'),
  ('demo-shop', 'send_invoices', '0 * * * *', '1 hour', '0', 40, null, 'critical', 'ada', 'Sends the invoices of the last hour',
   E'ERROR:  duplicate key value violates unique constraint "invoices_pkey"\nDETAIL:  Key (id)=(%n) already exists.'),
  ('demo-shop', 'refresh_prices', '*/30 * * * *', '30 minutes', '0', 95, 'slows', 'important', 'grace', 'Recomputes every price',
   E'ERROR:  canceling statement due to statement timeout'),
  ('demo-shop', 'purge_sessions', '5 * * * *', '1 hour', '5 minutes', 2, null, 'low', null, 'Deletes sessions of yesterday',
   E'ERROR:  deadlock detected\nDETAIL:  Process %n waits for ShareLock on transaction 7%n.'),
  ('demo-shop', 'nightly_backup', '0 2 * * *', '1 day', '2 hours', 620, null, 'critical', 'grace', 'Dumps the database to the archive',
   E'ERROR:  could not extend file "base/16384/%n": No space left on device'),
  ('demo-crawler', 'crawl', '*/15 * * * *', '15 minutes', '0', 210, 'flaky', 'important', 'linus', 'Fetches the pages that are due',
   E'ERROR:  next_page() got status 429 from 203.0.113.%n'),
  ('demo-crawler', 'dedupe', '20 * * * *', '1 hour', '20 minutes', 33, 'lately', 'low', 'linus', 'Merges pages with the same text',
   E'ERROR:  relation "staging_%n" does not exist'),
  ('demo-crawler', 'embed_pages', '*/30 * * * *', '30 minutes', '0', 150, 'missed', 'important', 'linus', 'Computes embeddings of new pages',
   E'ERROR:  could not connect to server 10.0.3.%n: Connection refused'),
  ('demo-crawler', 'rotate_proxies', '*/15 * * * *', '15 minutes', '0', 1, null, null, null, null, E'ERROR:  deadlock detected'),
  ('demo-assistant', 'summarise_tickets', '*/20 * * * *', '20 minutes', '0', 45, 'slows weekly', 'important', 'barbara',
   'Summarises tickets that were answered', E'ERROR:  invalid input syntax for type json\nDETAIL:  Token "tokens:%n" is invalid.'),
  ('demo-assistant', 'retrain_ranker', '30 4 * * *', '1 day', '4 hours 30 minutes', 780, null, 'low', 'barbara', 'Trains the ranking anew',
   E'ERROR:  out of memory\nDETAIL:  Failed on request of size %n.'),
  ('demo-assistant', 'expire_drafts', '0 * * * *', '1 hour', '0', 3, null, null, null, null, E'ERROR:  deadlock detected'),
  ('demo-archive', 'compact', '10 * * * *', '1 hour', '10 minutes', 310, null, 'low', 'grace', 'Compresses what is older than a month',
   E'ERROR:  canceling statement due to lock timeout'),
  ('demo-archive', 'verify_checksums', '40 * * * *', '1 hour', '40 minutes', 75, 'unknown', 'important', 'grace', 'Reads a sample back',
   E'ERROR:  checksum of block %n does not match');

insert into public.job_inventory
  (id, project_name, job_type, job_name, job_user, job_id, schedule, command, expected_interval_minutes, owner, criticality, description,
   success_criteria, runbook_url, first_seen_at, last_seen_at)
select id, project, 'pg_cron', job, 'postgres', row_number() over (order by project, job), schedule, 'select ' || job || '()',
       extract(epoch from every) / 60, owner, criticality, description,
       case when criticality = 'critical' then 'Rows of the last hour are there' end,
       case when criticality = 'critical' then 'https://example.com/runbooks/' || job end,
       now() - interval '40 days', now()
from demo_jobs;

-- --- runs and missed slots ---

create temporary table demo_runs (
  id uuid, project text, job text, criticality text, owner text, schedule text, error text, slot timestamptz, status text,
  seconds double precision, collected_at timestamptz, run_id bigint
) on commit drop;
insert into demo_runs
select id, project, job, criticality, owner, schedule, replace(error, '%n', (1 + floor(luck * 250))::text), slot, status,
       case when status <> 'missed' then seconds end, checked.at, row_number() over (partition by project order by slot, job)
from (
  select *,
         case
           when flaw = 'fails now' and slot > now() - interval '75 minutes' then 'failed'
           when flaw = 'fails now' and slot >= yesterday + interval '14 hours' and slot < yesterday + interval '15 hours' then 'failed'
           when flaw = 'missed' and slot between now() - interval '9 hours' and now() - interval '7 hours' then 'missed'
           when flaw = 'missed' and slot >= yesterday + interval '3 hours' and slot < yesterday + interval '270 minutes' then 'missed'
           when flaw = 'lately' and slot >= yesterday + interval '22 hours' and slot < yesterday + interval '23 hours' then 'failed'
           when flaw = 'flaky' and slot between yesterday - interval '10 days' and yesterday - interval '240 hours' + interval '150 minutes' then 'failed'
           -- what changes again and again within the hour flaps, and that the policy would tell
           when slot > now() - interval '3 hours' then 'success'
           when flaw = 'flaky' and fate < 0.05 then 'failed'
           when flaw = 'unknown' and fate < 0.08 then 'unknown'
           when fate > 0.9985 then 'failed'
           else 'success'
         end as status
  from (
    select j.id, j.project, j.job, j.flaw, j.criticality, j.owner, j.schedule, j.error, slot,
           random() as fate, random() as luck, date_trunc('day', now(), 'UTC') - interval '1 day' as yesterday,
           j.seconds * (0.85 + 0.3 * random()) * case
             when j.flaw = 'slows' and slot > date_trunc('day', now(), 'UTC') - interval '7 days' then 2.4
             when j.flaw = 'slows weekly' and slot >= date_trunc('week', now(), 'UTC') - interval '7 days' then 1.9
             else 1 end as seconds
    from demo_jobs j,
         generate_series(date_trunc('day', now(), 'UTC') - make_interval(days => current_setting('demo_history.days')::integer) + j.starts,
                         now(), j.every) as slot
    where j.project <> 'demo-archive' or slot < now() - interval '3 hours') as slots) as judged
-- the next check, and for a missed slot the one after its grace
cross join lateral (
  select to_timestamp(900 * ceil(extract(epoch from slot + make_interval(secs => case status when 'missed' then 900 else seconds end)) / 900))
    + make_interval(secs => 4 + 5 * abs(sin(extract(epoch from slot)))) as at) as checked
where checked.at < now();
analyze demo_runs;

insert into public.job_health_log
  (job_inventory_id, project_name, job_name, status, error_message, run_at, run_id, duration, source, collected_at)
select id, project, job, status, case when status = 'failed' then error end, slot, case when status <> 'missed' then run_id end,
       make_interval(secs => seconds), 'pg_cron', collected_at
from demo_runs;

insert into public.job_health_daily
  (job_inventory_id, day, runs, successes, failures, missed, unknown, duration_total, duration_max)
select id, (slot at time zone 'UTC')::date, count(*) filter (where status <> 'missed'), count(*) filter (where status = 'success'),
       count(*) filter (where status = 'failed'), count(*) filter (where status = 'missed'),
       count(*) filter (where status = 'unknown'), make_interval(secs => sum(seconds)), make_interval(secs => max(seconds))
from demo_runs
group by 1, 2;

create temporary table demo_latest on commit drop as
select id, max(slot) as run_at, max(slot) filter (where status = 'success') as success_at,
       (array_agg(status order by slot desc))[1] as status
from demo_runs
where status <> 'missed'
group by id;

insert into public.job_state
  (job_inventory_id, status, verdict, summary, status_since, schedule, slots_since, judged_until, last_run_at, last_success_at,
   consecutive_failures, recent_runs, checked_at)
select j.id,
       case when j.project = 'demo-archive' then 'unknown' when l.status = 'failed' then 'failed' else 'healthy' end,
       case when j.project = 'demo-archive' then 'project_paused' when l.status = 'failed' then 'failed' end,
       case when j.project = 'demo-archive' then 'its project cannot be read'
            when l.status = 'failed' and f.failures > 1 then format('the last %s runs failed', f.failures)
            when l.status = 'failed' then 'the last run failed' else 'the last run succeeded' end,
       now() - interval '70 minutes', j.schedule, now() - interval '40 days', p.last_read_at, l.run_at, l.success_at, f.failures,
       (select jsonb_agg(jsonb_build_object(
          'runId', r.run_id, 'status', r.status,
          'startedAt', to_char(r.slot at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
          'endedAt', to_char((r.slot + make_interval(secs => r.seconds)) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
          'message', case when r.status = 'failed' then r.error end) order by r.slot)
        from (select * from demo_runs n where n.id = j.id and n.status <> 'missed' order by n.slot desc limit 20) as r),
       p.last_read_at
from demo_jobs j
join demo_latest l using (id)
cross join lateral (
  select count(*) as failures from demo_runs r where r.id = j.id and r.status = 'failed' and r.slot > l.success_at) as f
join public.project_state p on p.project_name = j.project;

-- --- incidents: what the runs come to, and some that no run tells of ---

create temporary table demo_incidents (
  id uuid default gen_random_uuid(), project text, kind text, subject text, job_id uuid, code text, severity text, summary text,
  detail jsonb, owner text, opened_at timestamptz, resolved_at timestamptz
) on commit drop;
with judged as (
  select *, status in ('failed', 'missed') as bad from demo_runs where status <> 'unknown'
), turned as (
  select *, bad is distinct from lag(bad) over (partition by id order by slot) as turns from judged
), stretches as (
  select *, count(*) filter (where turns) over (partition by id order by slot) as stretch from turned
), told as (
  select id, stretch, project, criticality, owner, bad, count(*) as many, min(slot) as first_slot, min(collected_at) as noticed_at,
         (array_agg(status order by slot))[1] as code, (array_agg(error order by slot desc))[1] as error
  from stretches
  group by id, stretch, project, criticality, owner, bad
), bad as (
  select *, noticed_at as opened_at, lead(noticed_at) over (partition by id order by stretch) as over_at from told
)
insert into demo_incidents (project, kind, subject, job_id, code, severity, summary, detail, owner, opened_at, resolved_at)
select project, 'job', id::text, id, code, coalesce(criticality, 'important'),
       case code
         when 'missed' then format('no run for the slot at %s UTC', to_char(first_slot at time zone 'UTC', 'YYYY-MM-DD HH24:MI'))
           || case when many > 1 then format(', %s slots missed in all', many) else '' end
         else case when many > 1 then format('the last %s runs failed: ', many) else 'the last run failed: ' end || split_part(error, E'\n', 1) end,
       jsonb_build_object(
         'expectedAt', to_char(first_slot at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
         'errorMessage', case code when 'failed' then error end),
       owner, opened_at, case when over_at is not null then greatest(over_at, opened_at + interval '15 minutes') end
from bad
where bad;
-- an end that has not come yet
update demo_incidents set resolved_at = null where resolved_at > now() - interval '10 minutes';

insert into demo_incidents (project, kind, subject, job_id, code, severity, summary, detail, owner, opened_at)
select project, 'job', id::text, id, 'slow', 'low',
       'the last run took 4 min, far longer than usual (95 % of its runs take 1 min 48 s or less)', '{}'::jsonb, owner, now() - interval '9 hours'
from demo_jobs where flaw = 'slows'
union all
select name, 'project', name, null, error_code, 'important', error_message, '{}'::jsonb, 'grace', since
from demo_projects where status = 'error';

-- --- numbers ---

-- off until a project has their tables; where nobody has, they do not apply
update public.metric_definitions set enabled = true where project_name is null and not enabled;

create temporary table demo_series (
  metric text, project text, labels jsonb, base double precision, swing double precision, minutes integer, growth double precision default 1
) on commit drop;
insert into demo_series (metric, project, labels, base, swing, minutes, growth) values
  ('ai_error_rate', 'demo-assistant', '{}', 0.5, 0.7, 5, 1.2), ('ai_tokens_hourly', 'demo-assistant', '{}', 420000, 0.5, 5, 1.3),
  ('ai_cost_hourly', 'demo-assistant', '{}', 14, 0.5, 5, 1.4), ('queue_depth', 'demo-crawler', '{}', 42, 0.9, 5, 1.2),
  ('queue_processing_time_p95', 'demo-crawler', '{}', 17, 0.5, 5, 1.1), ('dead_letter_queue_size', 'demo-crawler', '{}', 3, 0, 5, 1),
  ('audit_activity_hourly', 'demo-shop', '{}', 180, 0.6, 5, 1), ('longest_transaction', 'demo-shop', '{}', 40, 0.8, 5, 1),
  ('longest_transaction', 'demo-crawler', '{}', 260, 0.9, 5, 1), ('connections_used', 'demo-shop', '{}', 34, 0.3, 5, 1),
  ('connections_used', 'demo-crawler', '{}', 58, 0.2, 5, 1), ('connections_used', 'demo-assistant', '{}', 21, 0.4, 5, 1),
  ('cache_hit_rate', 'demo-shop', '{}', 99.4, 0.003, 15, 1), ('cache_hit_rate', 'demo-crawler', '{}', 96.2, 0.005, 15, 1),
  ('database_size', 'demo-shop', '{}', 4.1e9, 0.004, 60, 1.02), ('database_size', 'demo-crawler', '{}', 1.9e10, 0.01, 60, 1.06),
  ('database_size', 'demo-assistant', '{}', 7.4e9, 0.01, 60, 1.04), ('replication_slot_lag', 'demo-shop', '{"slot": "warehouse"}', 2.4e8, 0.8, 5, 1),
  ('wraparound_age', 'demo-shop', '{}', 9.3, 0.01, 60, 1.03), ('wraparound_age', 'demo-crawler', '{}', 21, 0.01, 60, 1.05),
  ('pg_net_queue_depth', 'demo-shop', '{}', 4, 0.9, 5, 1), ('pg_net_queue_depth', 'demo-crawler', '{}', 22, 0.9, 5, 1),
  ('job_run_details_size', 'demo-shop', '{}', 2.2e8, 0.02, 60, 1.03), ('job_run_details_size', 'demo-crawler', '{}', 1.2e9, 0.02, 60, 1.05),
  ('dead_tuples', 'demo-crawler', '{"schema": "public", "table": "pages"}', 47, 0.1, 15, 1),
  ('dead_tuples', 'demo-shop', '{"schema": "public", "table": "orders"}', 12, 0.2, 15, 1);
insert into demo_series (metric, project, labels, base, swing, minutes, growth)
select 'ai_tokens_by_model_hourly', 'demo-assistant', jsonb_build_object('model', model), share * 420000, 0.5, 15, growth
from (values ('small', 0.2, 1.1), ('medium', 0.5, 1.2), ('large', 0.3, 1.6)) as m(model, share, growth)
union all
select 'ai_cost_by_actor_hourly', 'demo-assistant', jsonb_build_object('actor', actor), share * 14, 0.5, 15, growth
from (values ('user', 0.6, 1.1), ('agent', 0.3, 2.1), ('schedule', 0.1, 1)) as a(actor, share, growth)
union all
select 'ai_success_rate_by_action', 'demo-assistant', jsonb_build_object('action', action), rate, 0.01, 15, 1
from (values ('summarise', 99.5), ('classify', 99.1), ('extract', 94.2), ('reply', 98.0)) as a(action, rate)
union all
select 'ai_actions_by_status_hourly', 'demo-assistant', jsonb_build_object('action', action, 'status', status), many, 0.4, 15, 1.1
from (values ('summarise', 'success', 220), ('classify', 'success', 410), ('extract', 'success', 130), ('extract', 'error', 8),
             ('reply', 'success', 90), ('reply', 'error', 2)) as a(action, status, many)
union all
select 'ai_errors_by_message_hourly', 'demo-assistant', jsonb_build_object('action', action, 'error', error), many, 0.6, 15, 1
from (values ('extract', 'context length exceeded', 5), ('extract', 'invalid JSON in the answer', 3), ('reply', 'rate limited', 2),
             ('classify', 'timeout after 30 s', 1)) as e(action, error, many)
union all
select 'ai_response_time_by_bucket', 'demo-assistant', jsonb_build_object('latency_bucket', bucket::text), many, 0.6, 5, 1
from (values (100, 1), (250, 4), (500, 14), (1000, 26), (2500, 20), (5000, 9), (10000, 3), (30000, 1), (2147483647, 0.2)) as b(bucket, many)
union all
select 'queue_jobs_by_status', 'demo-crawler', jsonb_build_object('status', status), many, 0.3, 5, 1
from (values ('pending', 60), ('processing', 12), ('completed', 2400), ('failed', 21)) as s(status, many)
union all
select 'queue_processing_time', 'demo-crawler', jsonb_build_object('quantile', quantile), seconds, 0.5, 5, 1
from (values ('p50', 6), ('p95', 17), ('p99', 31)) as q(quantile, seconds);

insert into public.system_metrics (recorded_at, project_name, metric_name, labels, value, severity)
select t.at, s.project, s.metric, s.labels, v.value,
       case
         when d.critical is null and d.warning is null or d.judged_by <> 'value' then 'ok'
         when (case d.direction when 'down' then -v.value else v.value end)
              >= (case d.direction when 'down' then -d.critical else d.critical end) then 'critical'
         when (case d.direction when 'down' then -v.value else v.value end)
              >= (case d.direction when 'down' then -d.warning else d.warning end) then 'warning'
         else 'ok'
       end
from demo_series s
join public.metric_definitions d on d.name = s.metric and d.project_name is null,
     lateral (
       select generate_series(now() - interval '36 hours', now() - interval '2 minutes', make_interval(mins => s.minutes)) as at
       union all
       -- as long ago as that, an hour is close enough
       select generate_series(date_trunc('day', now(), 'UTC') - make_interval(days => current_setting('demo_history.days')::integer),
                              now() - interval '37 hours', interval '1 hour')) as t,
     -- the day's tide, some noise, what has grown since a week, and a queue that piled up for two hours
     lateral (select (s.base * (1 + s.swing * (0.6 * sin(extract(epoch from t.at) / 86400 * 2 * pi()) + 0.4 * (random() - 0.5)))
                * case when t.at > date_trunc('day', now(), 'UTC') - interval '7 days' then s.growth else 1 end
                * case when s.metric in ('queue_depth', 'queue_processing_time', 'queue_processing_time_p95', 'ai_error_rate')
                            and (t.at between now() - interval '6 hours' and now() - interval '4 hours'
                              or t.at between now() - interval '288 hours' and now() - interval '286 hours') then 4.5 else 1 end) as raw) as r,
     lateral (select case
                when d.unit in ('jobs', 'actions', 'requests', 'errors', 'tokens') or s.base >= 1e6 then round(r.raw)
                when d.unit = 'percent' then least(100, round(r.raw::numeric, 2)) else round(r.raw::numeric, 2) end as value) as v;

insert into public.metric_state
  (metric_definition_id, project_name, series, labels, value, severity, severity_since, summary, alarm, warning_since, recorded_at)
select d.id, m.project_name,
       coalesce((select '{' || string_agg(key || '=' || to_jsonb(value)::text, ',' order by key) || '}' from jsonb_each_text(m.labels)), ''),
       m.labels, m.value, m.severity, m.recorded_at - interval '2 hours',
       case d.unit
         when 'bytes' then pg_size_pretty(m.value::bigint) when 'percent' then m.value || ' %'
         when 'USD' then '$' || to_char(m.value, 'FM999990.00') else concat_ws(' ', m.value, d.unit) end,
       case when m.severity in ('warning', 'critical') then m.severity else 'none' end,
       case when m.severity in ('warning', 'critical') then m.recorded_at - interval '2 hours' end, m.recorded_at
from (
  select distinct on (project_name, metric_name, labels) *
  from public.system_metrics
  where project_name in (select name from demo_projects)
  order by project_name, metric_name, labels, recorded_at desc) as m
join public.metric_definitions d on d.name = m.metric_name and d.project_name is null;

insert into public.metric_collections (metric_definition_id, project_name, status, asked_at, took_ms, updated_at)
select metric_definition_id, project_name, 'ok', max(recorded_at), 4 + (random() * 30)::integer, max(recorded_at)
from public.metric_state
where project_name in (select name from demo_projects)
group by 1, 2;

insert into demo_incidents (project, kind, subject, code, severity, summary, detail, owner, opened_at, resolved_at)
select s.project_name, 'metric', s.project_name || '/' || d.name || s.series,
       case d.direction when 'down' then 'below_' else 'above_' end || s.alarm,
       case s.alarm when 'critical' then 'critical' else 'important' end,
       format('it is %s (%s from %s)', s.summary, s.alarm,
              case d.unit when 'bytes' then pg_size_pretty(d.warning::bigint) when 'percent' then d.warning || ' %' || case d.direction when 'down' then ' down' else '' end
                   else concat_ws(' ', d.warning, d.unit) end),
       jsonb_build_object('subjectName', d.name || coalesce(
         (select ' (' || string_agg(key || ' ' || value, ', ' order by key) || ')' from jsonb_each_text(s.labels)), '')),
       'grace', s.severity_since, null
from public.metric_state s
join public.metric_definitions d on d.id = s.metric_definition_id
where s.project_name in (select name from demo_projects) and s.alarm <> 'none'
union all
select piled.project, 'metric', piled.project || '/' || piled.metric, 'above_' || piled.alarm,
       case piled.alarm when 'critical' then 'critical' else 'important' end, piled.summary,
       jsonb_build_object('subjectName', piled.metric), piled.owner, at.began, at.ended
from (values
  ('demo-crawler', 'queue_depth', 'warning', 'it is 163 jobs (warning from 100 jobs)', 'linus'),
  ('demo-crawler', 'queue_processing_time_p95', 'critical', 'it is 1 min 24 s (critical from 1 min)', 'linus'),
  ('demo-assistant', 'ai_error_rate', 'warning', 'it is 2.4 % (warning from 1 %)', 'barbara')
) as piled(project, metric, alarm, summary, owner),
     (values (now() - interval '355 minutes', now() - interval '4 hours'), (now() - interval '287 hours', now() - interval '286 hours')) as at(began, ended);

-- --- who was told ---

-- whoever owns it takes on what is critical or still open, and finds some of the others to be nothing
insert into public.incidents
  (id, project_name, subject_kind, subject_id, code, severity, summary, detail, job_inventory_id, opened_at, last_seen_at, resolved_at,
   resolution, acknowledged_at, acknowledged_by, false_alarm_at, false_alarm_by)
select id, project, kind, subject, code, severity, summary, detail, job_id, opened_at, coalesce(resolved_at, now()), resolved_at,
       case when resolved_at is not null then 'recovered' end,
       case when taken then least(opened_at + interval '6 minutes', now()) end, case when taken then coalesce(owner, 'ada') end,
       case when nothing then resolved_at + interval '25 minutes' end, case when nothing then coalesce(owner, 'ada') end
from (
  select *,
         resolved_at is null or severity = 'critical' and resolved_at > opened_at + interval '10 minutes' as taken,
         resolved_at < now() - interval '1 hour' and row_number() over (partition by project order by opened_at) % 9 = 4 as nothing
  from demo_incidents) as i;

create temporary table demo_deliveries on commit drop as
select gen_random_uuid() as id, i.id as incident_id, news.event, news.at, i.severity,
       -- what is of low severity waits until the morning, and by then it was over
       i.severity = 'low' and i.resolved_at is not null and extract(hour from i.opened_at at time zone 'UTC') not between 6 and 21 as dropped,
       row_number() over (order by i.opened_at desc, news.event) as place
from demo_incidents i,
     lateral (values ('opened', i.opened_at), ('resolved', i.resolved_at)) as news(event, at)
where news.at is not null;

insert into public.alert_deliveries
  (id, alert_config_id, channel, event, state, attempts, created_at, next_attempt_at, admitted_at, sent_at, settled_at, followed_at, last_error)
select d.id, c.id, w.channel, d.event,
       case when d.dropped then 'cancelled' when d.place = 40 then 'failed' else 'sent' end, case when d.dropped then 0 when d.place = 40 then 6 else 1 end,
       d.at, d.at, case when not d.dropped then least(d.at + interval '20 seconds', now()) end,
       case when not d.dropped and d.place <> 40 then w.settled_at end, w.settled_at, w.settled_at,
       case when d.dropped and d.event = 'opened' then 'It ended during quiet hours and was of low severity'
            when d.dropped then 'This row was never told that it began'
            when d.place = 40 then 'Discord answered 400: the message was refused' end
from demo_deliveries d
cross join lateral (
  select case d.severity when 'critical' then 'telegram' else 'discord' end as channel,
         least(d.at + make_interval(secs => 22 + d.place % 30), now()) as settled_at) as w
-- through the rows that there are, so that each says how much went through it
left join lateral (
  select id from public.alert_config c
  where c.channel = w.channel and c.enabled and c.criticality in (d.severity, 'all')
  order by c.criticality = 'all', c.created_at, c.id limit 1) as c on true;
insert into public.delivery_incidents (delivery_id, incident_id) select id, incident_id from demo_deliveries;

insert into public.silences (project_name, job_pattern, starts_at, ends_at, created_by, reason)
values ('demo-crawler', 'rotate_*', now() - interval '9 days', now() + interval '20 days', 'linus', 'the proxies move to another provider'),
       ('demo-shop', '*', now() - interval '16 days', now() - interval '16 days' + interval '3 hours', 'grace', 'upgrade of Postgres');
insert into public.silences (project_name, job_pattern, starts_at, schedule, duration_minutes, created_by, reason)
values ('demo-archive', 'compact', now() - interval '30 days', '0 2 * * 0', 120, 'grace', 'the storage is scrubbed on Sundays');

insert into public.inventory_changes (job_inventory_id, project_name, job_type, job_name, change, old_value, new_value, noticed_at)
select j.id, j.project, 'pg_cron', j.job, c.change, c.old_value, c.new_value,
       date_trunc('day', now(), 'UTC') - make_interval(days => c.days) + make_interval(hours => c.hour, mins => 7)
from (values
  ('refresh_prices', 'command', 'select refresh_prices(false)', 'select refresh_prices()', 7, 0),
  ('crawl', 'schedule', '*/30 * * * *', '*/15 * * * *', 1, 12), ('expire_drafts', 'added', null, null, 1, 6),
  ('embed_pages', 'paused', null, null, 1, 0), ('embed_pages', 'resumed', null, null, 1, 6),
  ('summarise_tickets', 'schedule', '*/10 * * * *', '*/20 * * * *', 9, 18), ('purge_sessions', 'schedule', '0 * * * *', '5 * * * *', 13, 6)
) as c(job, change, old_value, new_value, days, hour)
join demo_jobs j using (job);

-- --- edge functions, as their wrapper reports them ---

create temporary table demo_functions (id uuid default gen_random_uuid(), name text, every interval, ms double precision, failing double precision)
  on commit drop;
insert into demo_functions (name, every, ms, failing) values
  ('answer-question', '9 minutes', 850, 0.02), ('classify-ticket', '17 minutes', 240, 0.005), ('export-conversations', '3 hours', 5200, 0.05);
insert into public.job_inventory
  (id, project_name, job_type, job_name, owner, criticality, description, max_error_percent, first_seen_at, last_seen_at)
select id, 'demo-assistant', 'edge_function', name, 'barbara', 'important', 'Answers the shop''s support', 20, now() - interval '40 days', now()
from demo_functions;

insert into public.function_executions
  (id, job_inventory_id, project_name, function_name, status, http_status, started_at, ended_at, duration_ms, error_name, error_message, received_at)
select gen_random_uuid(), id, 'demo-assistant', name, case when fate < failing then 'failed' else 'success' end,
       case when fate < failing then 500 when fate > 0.985 then 429 else 200 end, at, at + make_interval(secs => took / 1000), took,
       case when fate < failing then 'TypeError' end, case when fate < failing then 'Cannot read the model''s answer: no choices in it' end,
       at + make_interval(secs => took / 1000 + 1)
from (
  select f.*, random() as fate, f.ms * (0.5 - ln(1 - 0.98 * random()) / 2) as took,
         t + make_interval(secs => 240 * random()) as at
  from demo_functions f,
       generate_series(now() - make_interval(days => least(14, current_setting('demo_history.days')::integer)),
                       now() - interval '10 minutes', f.every) as t) as calls;

insert into public.function_minutes
  (project_name, function_name, source, minute, invocations, errors, client_errors, duration_total_ms, duration_max_ms)
select project_name, function_name, 'wrapper', date_trunc('minute', started_at), count(*), count(*) filter (where status = 'failed'),
       count(*) filter (where http_status = 429), sum(duration_ms), max(duration_ms)
from public.function_executions
where project_name = 'demo-assistant'
group by 1, 2, 4;

insert into public.job_state (job_inventory_id, status, summary, status_since, last_run_at, last_success_at, checked_at)
select f.id, 'healthy', format('%s of its last 10 invocations failed', (
         select count(*) filter (where e.status = 'failed')
         from (select status from public.function_executions e where e.job_inventory_id = f.id order by started_at desc limit 10) as e)),
       now() - interval '14 days', max(e.started_at), max(e.started_at) filter (where e.status = 'success'), now() - interval '4 minutes'
from demo_functions f
join public.function_executions e on e.job_inventory_id = f.id
group by f.id;

-- --- heartbeats: real ones, of jobs that nobody runs; a month passes before one of them is missed ---

create temporary table demo_heartbeats (id uuid default gen_random_uuid(), name text, every interval, seconds double precision, description text, owner text)
  on commit drop;
insert into demo_heartbeats (name, every, seconds, description, owner) values
  ('demo_laptop_backup', '1 day', 640, 'Backs a laptop up whenever it is on', 'ada'),
  ('demo_newsletter', '7 days', 75, 'The CI sends the newsletter', 'grace');
insert into public.job_inventory
  (id, project_name, job_type, job_name, expected_interval_minutes, owner, criticality, description, first_seen_at, last_seen_at)
select id, 'demo-shop', 'heartbeat', name, extract(epoch from every) / 60, owner, 'low', description, now() - interval '40 days', now()
from demo_heartbeats;
insert into public.job_heartbeats (job_name, last_run_at, status, metadata, created_at, project_name, expected_interval_minutes, grace_minutes)
select name, now() - interval '100 minutes', 'healthy', '{}', now() - interval '40 days', 'demo-shop', extract(epoch from every) / 60, 44640
from demo_heartbeats;
-- the last word is logged by the healthcheck that hears it
insert into public.job_health_log (job_inventory_id, project_name, job_name, status, run_at, duration, source, collected_at)
select id, 'demo-shop', name, 'success', at, make_interval(secs => seconds * (0.8 + 0.4 * random())), 'heartbeat', at + interval '2 minutes'
from demo_heartbeats,
     lateral generate_series(now() - interval '100 minutes' - every, now() - make_interval(days => current_setting('demo_history.days')::integer), -every) as at;
insert into public.job_health_daily (job_inventory_id, day, runs, successes)
select l.job_inventory_id, (l.run_at at time zone 'UTC')::date, count(*), count(*)
from public.job_health_log l
where l.project_name = 'demo-shop' and l.source = 'heartbeat'
group by 1, 2;
select monitoring.roll_up();

-- --- the monitor's own work, up to where it began by itself ---

insert into public.check_runs (function_name, source, request_id, began_at, ended_at, status, counts, error)
select f.name, 'demo', gen_random_uuid()::text, t, t + make_interval(secs => f.seconds * (0.6 + random())),
       case when f.name = 'check-job-health' and t between now() - interval '3 hours' and now() - interval '10 minutes' then 'partial' else 'complete' end, '{}',
       case when f.name = 'check-job-health' and t between now() - interval '3 hours' and now() - interval '10 minutes' then p.error_message end
from (values ('check-job-health', 2.1, interval '15 minutes', interval '0', interval '100 days'),
             ('discover-jobs', 3.2, interval '6 hours', interval '7 minutes', interval '100 days'),
             ('send-report', 0.8, interval '1 day', interval '9 hours', interval '100 days'),
             -- of those that run more often, as many as a dashboard shows
             ('collect-metrics', 1.4, interval '5 minutes', interval '3 minutes', interval '36 hours'),
             ('check-edge-functions', 0.9, interval '5 minutes', interval '0', interval '36 hours'),
             ('cron-healthcheck', 0.2, interval '5 minutes', interval '2 minutes', interval '36 hours'),
             ('send-alert', 0.3, interval '5 minutes', interval '1 minute', interval '36 hours')) as f(name, seconds, every, starts, back)
join demo_projects p on p.status = 'error',
     lateral (select coalesce(min(r.began_at), now()) as at from public.check_runs r
              where r.function_name = f.name and r.source <> 'demo') as own,
     generate_series(date_trunc('day', now(), 'UTC') - make_interval(days => current_setting('demo_history.days')::integer) + f.starts,
                     now() - interval '10 seconds', f.every) as t
where t > now() - f.back and t < own.at - interval '10 seconds';
