-- A day and a half in the life of three projects, for dashboards to show: the same shape each time, ending now. Writes
-- into an empty hub and switches the applications' metrics on.

select setseed(0.42);

select monitoring.ensure_log_partition((now() at time zone 'UTC')::date - d),
       monitoring.ensure_metric_partition((now() at time zone 'UTC')::date - d)
from generate_series(0, 2) as d;

insert into public.project_state (project_name, version, status, error_code, error_message, status_since, last_read_at) values
  ('smoothed', 1, 'ok', null, null, now() - interval '30 days', now() - interval '4 minutes'),
  ('scraping', 1, 'ok', null, null, now() - interval '30 days', now() - interval '4 minutes'),
  ('archive', 1, 'error', 'project_paused', 'Project "archive" is paused', now() - interval '3 hours', now() - interval '3 hours');

create temporary table demo_jobs (
  project text, job text, schedule text, every interval, seconds double precision, flaw text, criticality text, owner text,
  id uuid default gen_random_uuid()
);
insert into demo_jobs (project, job, schedule, every, seconds, flaw, criticality, owner) values
  ('smoothed', 'sync_leads', '*/15 * * * *', '15 minutes', 8, 'fails now', 'critical', 'ada'),
  ('smoothed', 'send_invoices', '0 * * * *', '1 hour', 40, null, 'critical', 'ada'),
  ('smoothed', 'refresh_views', '*/30 * * * *', '30 minutes', 95, 'slows', 'important', 'grace'),
  ('smoothed', 'purge_sessions', '5 * * * *', '1 hour', 2, null, 'low', null),
  ('smoothed', 'nightly_backup', '0 2 * * *', '1 day', 1260, null, 'critical', 'grace'),
  ('scraping', 'crawl', '*/15 * * * *', '15 minutes', 210, 'flaky', 'important', 'linus'),
  ('scraping', 'dedupe', '20 * * * *', '1 hour', 33, null, 'low', 'linus'),
  ('scraping', 'embed_pages', '*/30 * * * *', '30 minutes', 150, 'missed', 'important', 'linus'),
  ('scraping', 'rotate_proxies', '*/15 * * * *', '15 minutes', 1, null, null, null),
  ('archive', 'compact', '10 * * * *', '1 hour', 310, null, 'low', null),
  ('archive', 'verify_checksums', '40 * * * *', '1 hour', 75, 'unknown', 'important', 'grace');

insert into public.job_inventory
  (id, project_name, job_type, job_name, job_user, schedule, command, owner, criticality, last_seen_at)
select id, project, 'pg_cron', job, 'postgres', schedule, 'select ' || job || '()', owner, criticality, now()
from demo_jobs;

create temporary table demo_runs as
select j.id, j.project, j.job, j.flaw, slot,
       j.seconds * (0.7 + 0.6 * random()) * case when j.flaw = 'slows' and slot > now() - interval '10 hours' then 2.4 else 1 end as seconds,
       case
         when j.flaw = 'fails now' and slot > now() - interval '75 minutes' then 'failed'
         when j.flaw = 'flaky' and random() < 0.12 then 'failed'
         when j.flaw = 'missed' and slot between now() - interval '9 hours' and now() - interval '7 hours' then 'missed'
         when j.flaw = 'unknown' and random() < 0.15 then 'unknown'
         when random() < 0.006 then 'failed'
         else 'success'
       end as status
from demo_jobs j,
     generate_series(date_trunc('day', now(), 'UTC') - interval '1 day' + case j.every when '1 day' then interval '2 hours' else '0' end,
                     now() - interval '5 minutes', j.every) as slot
where j.project <> 'archive' or slot < now() - interval '3 hours';

insert into public.job_health_log
  (job_inventory_id, project_name, job_name, status, error_message, run_at, run_id, duration, source, collected_at)
select id, project, job, status,
       case when status = 'failed' then (array[
         'ERROR: deadlock detected', 'ERROR: canceling statement due to statement timeout',
         'HTTP 502 from https://api.example.com/v1/leads', 'ERROR: duplicate key value violates unique constraint "leads_pkey"'
       ])[1 + floor(4 * random())::integer] end,
       slot, row_number() over (order by slot), case when status <> 'missed' then make_interval(secs => seconds) end, 'pg_cron',
       -- the next check, and for a missed slot the one after its grace
       least(now(), to_timestamp(ceil(extract(epoch from slot + make_interval(secs => case status when 'missed' then 900 else seconds end)) / 900) * 900)
             + make_interval(secs => 4 + 5 * random()))
from demo_runs;

insert into public.job_state
  (job_inventory_id, status, verdict, summary, status_since, last_run_at, last_success_at, consecutive_failures)
select j.id,
       case when j.project = 'archive' then 'unknown' when j.flaw = 'fails now' then 'failed' else 'healthy' end,
       case when j.project = 'archive' then 'unreadable' when j.flaw = 'fails now' then 'failed' end,
       case when j.flaw = 'fails now' then '5 runs in a row failed' end,
       now() - interval '2 hours',
       (select max(slot) from demo_runs r where r.id = j.id and r.status <> 'missed'),
       (select max(slot) from demo_runs r where r.id = j.id and r.status = 'success'),
       case when j.flaw = 'fails now' then 5 else 0 end
from demo_jobs j;

insert into public.job_health_daily
  (job_inventory_id, day, runs, successes, failures, missed, unknown, duration_total, duration_max)
select id, (slot at time zone 'UTC')::date, count(*) filter (where status <> 'missed'), count(*) filter (where status = 'success'),
       count(*) filter (where status = 'failed'), count(*) filter (where status = 'missed'),
       count(*) filter (where status = 'unknown'), make_interval(secs => sum(seconds)), make_interval(secs => max(seconds))
from demo_runs
group by 1, 2;
select monitoring.roll_up();

insert into public.incidents
  (project_name, subject_kind, subject_id, code, severity, summary, detail, job_inventory_id, opened_at, resolved_at, resolution)
select project, 'job', id::text, 'failed', 'critical', '5 runs in a row failed: HTTP 502 from https://api.example.com/v1/leads', '{}'::jsonb, id,
       now() - interval '61 minutes', null::timestamptz, null
from demo_jobs where flaw = 'fails now'
union all
select project, 'job', id::text, 'slow', 'low', 'Runs take 2.4 times as long as usual', '{}', id, now() - interval '9 hours', null, null
from demo_jobs where flaw = 'slows'
union all
select 'archive', 'project', 'archive', 'project_paused', 'important', 'Project "archive" is paused', '{}', null,
       now() - interval '3 hours', null, null
union all
select project, 'job', id::text, 'failed', 'important', 'The last run failed', '{}', id, now() - n * interval '5 hours',
       now() - n * interval '5 hours' + (10 + 15 * n) * interval '1 minute', 'recovered'
from demo_jobs, generate_series(1, 4) as n where flaw = 'flaky'
union all
select project, 'job', id::text, 'missed', 'important', 'No run for 4 slots', '{}', id, now() - interval '8 hours',
       now() - interval '6 hours 40 minutes', 'recovered'
from demo_jobs where flaw = 'missed';

insert into public.check_runs (function_name, source, request_id, began_at, ended_at, status, counts, error)
select f.name, 'cron', gen_random_uuid()::text, t, t + make_interval(secs => f.seconds * (0.6 + random())),
       case when f.name = 'check-job-health' and t > now() - interval '3 hours' then 'partial' else 'complete' end, '{}',
       case when f.name = 'check-job-health' and t > now() - interval '3 hours' then 'archive: Project "archive" is paused' end
from (values ('check-job-health', 2.1, interval '15 minutes'), ('collect-metrics', 1.4, interval '5 minutes'),
             ('send-alert', 0.3, interval '5 minutes'), ('discover-jobs', 3.2, interval '6 hours')) as f(name, seconds, every),
     generate_series(now() - interval '30 hours', now() - interval '4 minutes', f.every) as t;
-- of one project only, whose check is complete
insert into public.check_runs (function_name, source, request_id, began_at, ended_at, status)
values ('check-job-health', 'manual', 'demo', now() - interval '4 minutes', now() - interval '3 minutes 58 seconds', 'complete');

insert into public.alert_deliveries (channel, event, state, created_at, sent_at, settled_at, last_error)
select (array['discord', 'telegram'])[1 + n % 2], case n % 3 when 0 then 'resolved' else 'opened' end,
       case when n = 7 then 'failed' when n < 2 then 'due' else 'sent' end, now() - n * interval '70 minutes',
       case when n >= 2 and n <> 7 then now() - n * interval '70 minutes' + interval '20 seconds' end, null,
       case when n = 7 then 'Discord answered 404' end
from generate_series(0, 20) as n;

-- --- numbers ---

update public.metric_definitions set enabled = true;

create temporary table demo_series (metric text, project text, labels jsonb, base double precision, swing double precision, minutes integer);
insert into demo_series values
  ('ai_error_rate', 'smoothed', '{}', 0.7, 0.9, 5), ('ai_tokens_hourly', 'smoothed', '{}', 420000, 0.5, 5),
  ('ai_cost_hourly', 'smoothed', '{}', 14, 0.5, 5), ('queue_depth', 'scraping', '{}', 60, 0.9, 5),
  ('queue_processing_time_p95', 'scraping', '{}', 24, 0.5, 5), ('dead_letter_queue_size', 'scraping', '{}', 3, 0, 5),
  ('audit_activity_hourly', 'smoothed', '{}', 180, 0.6, 5), ('longest_transaction', 'smoothed', '{}', 40, 0.8, 5),
  ('longest_transaction', 'scraping', '{}', 260, 0.9, 5), ('connections_used', 'smoothed', '{}', 34, 0.3, 5),
  ('connections_used', 'scraping', '{}', 63, 0.2, 5), ('cache_hit_rate', 'smoothed', '{}', 99.4, 0.003, 15),
  ('cache_hit_rate', 'scraping', '{}', 96.2, 0.01, 15), ('database_size', 'smoothed', '{}', 4.1e9, 0.004, 60),
  ('database_size', 'scraping', '{}', 1.9e10, 0.01, 60), ('replication_slot_lag', 'smoothed', '{"slot": "warehouse"}', 2.4e8, 0.8, 5),
  ('wraparound_age', 'smoothed', '{}', 9.3, 0.01, 60), ('wraparound_age', 'scraping', '{}', 21, 0.01, 60),
  ('pg_net_queue_depth', 'smoothed', '{}', 4, 0.9, 5), ('pg_net_queue_depth', 'scraping', '{}', 22, 0.9, 5),
  ('job_run_details_size', 'smoothed', '{}', 2.2e8, 0.02, 60), ('job_run_details_size', 'scraping', '{}', 1.2e9, 0.01, 60),
  ('dead_tuples', 'scraping', '{"schema": "public", "table": "pages"}', 47, 0.1, 15),
  ('dead_tuples', 'smoothed', '{"schema": "public", "table": "leads"}', 12, 0.2, 15);
insert into demo_series
select 'ai_tokens_by_model_hourly', 'smoothed', jsonb_build_object('model', model), share * 420000, 0.5, 15
from (values ('small', 0.2), ('medium', 0.5), ('large', 0.3)) as m(model, share)
union all
select 'ai_cost_by_actor_hourly', 'smoothed', jsonb_build_object('actor', actor), share * 14, 0.5, 15
from (values ('user', 0.6), ('agent', 0.3), ('schedule', 0.1)) as a(actor, share)
union all
select 'ai_success_rate_by_action', 'smoothed', jsonb_build_object('action', action), rate, 0.01, 15
from (values ('summarise', 99.5), ('classify', 99.1), ('extract', 94.2), ('reply', 98.0)) as a(action, rate)
union all
select 'ai_actions_by_status_hourly', 'smoothed', jsonb_build_object('action', action, 'status', status), many, 0.4, 15
from (values ('summarise', 'success', 220), ('classify', 'success', 410), ('extract', 'success', 130), ('extract', 'error', 8),
             ('reply', 'success', 90), ('reply', 'error', 2)) as a(action, status, many)
union all
select 'ai_errors_by_message_hourly', 'smoothed', jsonb_build_object('action', action, 'error', error), many, 0.6, 15
from (values ('extract', 'context length exceeded', 5), ('extract', 'invalid JSON in the answer', 3), ('reply', 'rate limited', 2),
             ('classify', 'timeout after 30 s', 1)) as e(action, error, many)
union all
select 'ai_response_time_by_bucket', 'smoothed', jsonb_build_object('latency_bucket', bucket::text), many, 0.6, 5
from (values (100, 1), (250, 4), (500, 14), (1000, 26), (2500, 20), (5000, 9), (10000, 3), (30000, 1), (2147483647, 0.2)) as b(bucket, many)
union all
select 'queue_jobs_by_status', 'scraping', jsonb_build_object('status', status), many, 0.3, 5
from (values ('pending', 60), ('processing', 12), ('completed', 2400), ('failed', 21)) as s(status, many)
union all
select 'queue_processing_time', 'scraping', jsonb_build_object('quantile', quantile), seconds, 0.5, 5
from (values ('p50', 6), ('p95', 24), ('p99', 41)) as q(quantile, seconds);

insert into public.system_metrics (recorded_at, project_name, metric_name, labels, value, severity)
select t, s.project, s.metric, s.labels, v.value,
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
     generate_series(now() - interval '30 hours', now() - interval '2 minutes', make_interval(mins => s.minutes)) as t,
     -- the day's tide, some noise, and a queue that piled up for two hours
     lateral (select (s.base * (1 + s.swing * (0.6 * sin(extract(epoch from t) / 86400 * 2 * pi()) + 0.4 * (random() - 0.5)))
                * case when s.metric in ('queue_depth', 'queue_processing_time', 'queue_processing_time_p95', 'ai_error_rate')
                            and t between now() - interval '6 hours' and now() - interval '4 hours' then 4.5 else 1 end) as raw) as r,
     lateral (select case
                when d.unit in ('jobs', 'actions', 'requests', 'errors', 'tokens') or s.base >= 1e6 then round(r.raw)
                when d.unit = 'percent' then least(100, r.raw) else r.raw end as value) as v;

insert into public.metric_state
  (metric_definition_id, project_name, series, labels, value, severity, severity_since, summary, alarm, recorded_at)
select distinct on (m.project_name, m.metric_name, m.labels)
       d.id, m.project_name, m.labels::text, m.labels, m.value, m.severity, m.recorded_at - interval '2 hours',
       case when m.severity <> 'ok' then d.description end, case when m.severity in ('warning', 'critical') then m.severity else 'none' end,
       m.recorded_at
from public.system_metrics m
join public.metric_definitions d on d.name = m.metric_name and d.project_name is null
order by m.project_name, m.metric_name, m.labels, m.recorded_at desc;

drop table demo_series, demo_runs, demo_jobs;
