-- Reports: who gets which, what they say, and that each goes out once. What is sent goes through the same outbox as
-- alerts: send-report puts it there, rendered; send-alert leases, sends, retries and settles it.

-- --- what people write ---

create table public.report_subscriptions (
  id uuid primary key default gen_random_uuid(),
  report text not null,
  alert_config_id uuid not null references public.alert_config (id) on delete cascade,
  enabled boolean not null default true,
  notes text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint "report is daily or weekly" check (report in ('daily', 'weekly')),
  constraint "a row of alert_config gets a report once" unique (report, alert_config_id)
);
comment on table public.report_subscriptions is 'Who gets which report: a row for the team''s Slack daily, one for leadership''s mail weekly.';
comment on column public.report_subscriptions.report is 'daily (09:00 UTC, of the day before) or weekly (Mondays 09:00 UTC, of the week before).';
comment on column public.report_subscriptions.alert_config_id is 'Where it goes: a row of alert_config. One whose events are {} gets reports and no alerts.';
comment on column public.report_subscriptions.enabled is 'false: not sent.';
comment on column public.report_subscriptions.notes is 'For people.';
create index report_subscriptions_config on public.report_subscriptions (alert_config_id);

create trigger report_subscriptions_tidy_text before insert or update of notes on public.report_subscriptions
  for each row execute function monitoring.tidy_text('notes');
create trigger report_subscriptions_updated_at before update on public.report_subscriptions
  for each row execute function monitoring.touch_updated_at();

alter table public.alert_config
  drop constraint "events are some of opened, reminder, resolved",
  add constraint "events are some of opened, reminder, resolved; or none" check (
    events <@ '{opened,reminder,resolved}' and array_position(events, null) is null
  );
comment on column public.alert_config.events is 'Which news: opened (it began), reminder (it still lasts), resolved (it is over). {}: no alerts at all, only the reports that report_subscriptions names.';

-- --- what the machine keeps ---

create table public.report_sendings (
  report text not null,
  period text not null,
  report_subscription_id uuid not null references public.report_subscriptions (id) on delete cascade,
  target_key text not null,
  delivery_id uuid references public.alert_deliveries (id) on delete set null,
  created_at timestamptz not null default now(),
  primary key (report, period, report_subscription_id),
  constraint "a target gets a report once a period" unique (report, period, target_key)
);
comment on table public.report_sendings is 'Which report went to whom: one row a report, period and subscription, however often send-report is called.';
comment on column public.report_sendings.period is 'First day that it tells of: 2026-11-20.';
comment on column public.report_sendings.target_key is 'The same for rows of alert_config that name the same target in the same way.';
comment on column public.report_sendings.delivery_id is 'Its delivery in alert_deliveries; empty once that is purged.';
create index report_sendings_delivery on public.report_sendings (delivery_id);
create index report_sendings_subscription on public.report_sendings (report_subscription_id);

alter table public.alert_deliveries
  drop constraint "event is opened, reminder, acknowledged, resolved or test",
  add constraint "event is a message of an incident, a test or a report" check (
    event in ('opened', 'reminder', 'acknowledged', 'resolved', 'test', 'report')
  ),
  add constraint "a report is rendered when it is owed" check (event <> 'report' or rendered is not null);

create index job_health_log_failed on public.job_health_log (collected_at) where status = 'failed';

-- --- the outbox knows reports ---

create or replace function monitoring.delivery_rank(p_event text) returns integer
language sql
immutable
set search_path = ''
as $$
  select array_position(array['opened', 'reminder', 'acknowledged', 'resolved', 'test', 'report'], p_event)
$$;

create function monitoring.end_unroutable_report() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.state := 'cancelled';
  new.settled_at := now();
  return new;
end
$$;
comment on function monitoring.end_unroutable_report() is 'Trigger: a report whose row of alert_config is gone, disabled or of another channel now goes to nobody else.';
create trigger alert_deliveries_unroutable_report before update of state on public.alert_deliveries
  for each row
  when (new.event = 'report' and new.state = 'unroutable')
  execute function monitoring.end_unroutable_report();

create function monitoring.report_recipients(p_report text, p_period text) returns setof jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'subscriptionId', s.id,
    'alertConfigId', c.id,
    'name', c.name,
    'channel', c.channel,
    'state', (
      select coalesce(d.state, 'sent')
      from public.report_sendings o
      left join public.alert_deliveries d on d.id = o.delivery_id
      where o.report = p_report and o.period = p_period
        and (o.report_subscription_id = s.id or o.target_key = monitoring.alert_target_key(c))
      order by (o.report_subscription_id = s.id) desc limit 1))
  from public.report_subscriptions s
  join public.alert_config c on c.id = s.alert_config_id and c.enabled
  where s.report = p_report and s.enabled
  order by c.created_at, c.id
$$;
comment on function monitoring.report_recipients(text, text) is 'Who gets a report, and what became of it for that period; state is NULL where it is not owed yet.';

create function monitoring.queue_report(p_report text, p_period text, p_rendered jsonb) returns setof jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_to record;
  v_delivery_id uuid;
begin
  delete from public.report_sendings where created_at < now() - interval '400 days';
  for v_to in
    select s.id as subscription_id, c.id as config_id, c.channel, monitoring.alert_target_key(c) as target_key, r.rendered
    from jsonb_to_recordset(p_rendered) as r(subscription_id uuid, channel text, rendered jsonb)
    join public.report_subscriptions s on s.id = r.subscription_id and s.enabled and s.report = p_report
    join public.alert_config c on c.id = s.alert_config_id and c.enabled and c.channel = r.channel
    order by s.id
  loop
    insert into public.report_sendings (report, period, report_subscription_id, target_key)
    values (p_report, p_period, v_to.subscription_id, v_to.target_key)
    on conflict do nothing;
    if found then
      insert into public.alert_deliveries (alert_config_id, channel, event, rendered, note)
      values (v_to.config_id, v_to.channel, 'report', v_to.rendered, p_report || ' report of ' || p_period)
      returning id into v_delivery_id;
      update public.report_sendings set delivery_id = v_delivery_id
      where report = p_report and period = p_period and report_subscription_id = v_to.subscription_id;
    else
      -- what a vendor refused, or had nobody to go to, is tried again: somebody may have set that right
      update public.alert_deliveries d
      set state = 'due', channel = v_to.channel, next_attempt_at = now(), settled_at = null, refused = null,
          -- of a message in parts, those that were sent are known by the old bytes
          rendered = case when d.channel = v_to.channel then d.rendered else v_to.rendered end
      from public.report_sendings o
      where o.report = p_report and o.period = p_period and o.report_subscription_id = v_to.subscription_id
        and d.id = o.delivery_id and d.state in ('failed', 'cancelled') and d.alert_config_id = v_to.config_id
      returning d.id into v_delivery_id;
    end if;
    if v_delivery_id is not null then
      return next jsonb_build_object('deliveryId', v_delivery_id, 'subscriptionId', v_to.subscription_id);
    end if;
    v_delivery_id := null;
  end loop;
end
$$;
comment on function monitoring.queue_report(text, text, jsonb) is
  'Owes a rendered report to those who have not had it for that period, and again to those whose vendor refused it. Answers what is owed now.';

insert into monitoring.schedules (job_name, schedule, command, description) values
  -- a call may be lost; who has had the report does not get it again
  ('send-daily-report', '0,20,40 9 * * *',
   $cmd$select monitoring.invoke_edge_function('send-report', '{"source":"cron","report":"daily"}')$cmd$,
   'Reports of the day before, once; called three times in case a call is lost'),
  ('send-weekly-report', '0,20,40 9 * * 1',
   $cmd$select monitoring.invoke_edge_function('send-report', '{"source":"cron","report":"weekly"}')$cmd$,
   'Reports of the week before, likewise');

-- --- what a report says ---

create function monitoring.fold_error(p_message text) returns text
language sql
immutable
set search_path = ''
as $$
  select regexp_replace(
    regexp_replace(left(coalesce(p_message, ''), 400),
      -- an apostrophe within a word opens no quotation
      '\m[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\M|"[^"\n]{0,200}"|(?<![[:alnum:]])''[^''\n]{0,200}''', '?', 'g'),
    -- an HTTP status says what is wrong
    '(?<!\d)(?!(?<=\m(?:answered|got|http|status)[ :=]{1,2})[1-5]\d\d\M)\d+', '0', 'gi')
$$;
comment on function monitoring.fold_error(text) is
  'The beginning of an error with ids, quoted values and numbers (but HTTP statuses) folded, so that there are few to read. Which errors are the same is decided by rules/fingerprint.ts.';

-- folded once, when it is logged: a report must come on the worst day too, with failures by the hundred thousand
alter table public.job_health_log
  add column folded_error text generated always as (
    case when status = 'failed' then monitoring.fold_error(error_message) end
  ) stored;
comment on column public.job_health_log.folded_error is 'error_message of a failure with ids, quoted values and numbers folded; reports group by it.';

create function monitoring.unwatched(p_since timestamptz, p_until timestamptz) returns jsonb
language sql
stable
set search_path = ''
as $$
  with looks as (
    select began_at as at from public.check_runs
    where function_name = 'check-job-health' and status in ('complete', 'partial')
      and began_at >= p_since and began_at < p_until
    union all
    select max(began_at) from public.check_runs
    where function_name = 'check-job-health' and status in ('complete', 'partial') and began_at < p_since
    union all
    select coalesce(min(began_at), now()) from public.check_runs
    where function_name = 'check-job-health' and status in ('complete', 'partial') and began_at >= p_until
  ), gaps as (
    select at, lead(at) over (order by at) as until from looks where at is not null
  ), inside as (
    select greatest(at, p_since) as at, least(until, p_until) - greatest(at, p_since) as lasted
    from gaps
    where until - at > interval '1 hour'
  ), told as (
    -- of a gap across the border no more than a look's distance is nothing to tell
    select at, extract(epoch from lasted) * 1000 as ms from inside where lasted > interval '15 minutes'
  )
  select jsonb_build_object(
    'firstLookAt', (
      select monitoring.epoch_ms(min(began_at)) from public.check_runs
      where function_name = 'check-job-health' and status in ('complete', 'partial')),
    'unwatchedMs', coalesce((select sum(ms) from told), 0),
    'longestMs', coalesce((select max(ms) from told), 0),
    'longestFrom', (select monitoring.epoch_ms(at) from told order by ms desc, at limit 1))
$$;
comment on function monitoring.unwatched(timestamptz, timestamptz) is
  'For how long check-job-health did not look: of each hour and more between two looks, the part within that time. What was before the first look that is known is not counted: nobody was to look then.';

create function monitoring.report_facts(p_days integer, p_from date, p_before date, p_limit integer) returns jsonb
language sql
stable
set search_path = ''
as $$
  with span as materialized (
    select p_from::timestamp at time zone 'UTC' as since,
           (p_from + p_days)::timestamp at time zone 'UTC' as until,
           p_before::timestamp at time zone 'UTC' as before_since,
           (p_before + p_days)::timestamp at time zone 'UTC' as before_until
  ), jobs as materialized (
    select j.id, j.project_name, j.job_type, j.job_name, j.owner, j.removed_at is null as here,
           j.job_type <> 'edge_function' or s.job_inventory_id is not null as watched,
           num_nonnulls(j.description, j.success_criteria, j.criticality) = 0 as bare,
           coalesce(j.criticality, 'important') as criticality, coalesce(s.status, 'unknown') as status
    from public.job_inventory j
    left join public.job_state s on s.job_inventory_id = j.id
  ), counted as materialized (
    select d.job_inventory_id as id, d.day >= p_from as present,
           sum(d.runs) as runs, sum(d.successes) as successes, sum(d.failures) as failures, sum(d.missed) as missed,
           sum(d.unknown) as unknown,
           -- of several days, the usual one and the worst one
           percentile_cont(0.5) within group (order by extract(epoch from d.duration_p50) * 1000) as p50,
           max(extract(epoch from d.duration_p95) * 1000) as p95
    from public.job_health_daily d
    where (d.day >= p_from and d.day < p_from + p_days) or (d.day >= p_before and d.day < p_before + p_days)
    group by 1, 2
  ), by_job as materialized (
    select j.*, coalesce(c.runs, 0) as runs, coalesce(c.successes, 0) as successes, coalesce(c.failures, 0) as failures,
           coalesce(c.missed, 0) as missed, coalesce(c.unknown, 0) as unknown, c.p50, c.p95, b.p50 as p50_before,
           coalesce(b.runs, 0) as runs_before, coalesce(b.successes, 0) as successes_before,
           coalesce(b.failures, 0) as failures_before, coalesce(b.missed, 0) as missed_before,
           coalesce(b.unknown, 0) as unknown_before
    from jobs j
    left join counted c on c.id = j.id and c.present
    left join counted b on b.id = j.id and not b.present
    where (j.here and j.watched) or c.id is not null or b.id is not null
  ), by_project as materialized (
    select p.project_name, coalesce(p.status, 'unknown') as status, p.error_message,
           count(j.id) filter (where j.here and j.watched) as jobs,
           coalesce(sum(j.runs), 0) as runs, coalesce(sum(j.successes), 0) as successes,
           coalesce(sum(j.failures), 0) as failures, coalesce(sum(j.missed), 0) as missed,
           coalesce(sum(j.unknown), 0) as unknown, coalesce(sum(j.runs_before), 0) as runs_before,
           coalesce(sum(j.successes_before), 0) as successes_before, coalesce(sum(j.failures_before), 0) as failures_before,
           coalesce(sum(j.missed_before), 0) as missed_before, coalesce(sum(j.unknown_before), 0) as unknown_before
    from (
      select project_name, status, error_message from public.project_state
      union all
      select distinct b.project_name, null, null from by_job b
      where not exists (select from public.project_state s where s.project_name = b.project_name)) as p
    left join by_job j on j.project_name = p.project_name
    group by p.project_name, p.status, p.error_message
  ), told as materialized (
    select i.*, coalesce(j.job_name, i.detail ->> 'subjectName', i.subject_id) as subject, j.owner,
           i.opened_at >= span.since and i.opened_at < span.until as opened,
           coalesce(i.resolved_at >= span.since and i.resolved_at < span.until, false) as closed,
           i.opened_at >= span.before_since and i.opened_at < span.before_until as opened_before,
           coalesce(i.resolved_at >= span.before_since and i.resolved_at < span.before_until, false) as closed_before,
           -- from the slot or the run that went wrong
           case when i.subject_kind = 'job' and i.detail ->> 'expectedAt' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d' then
             greatest(0, extract(epoch from i.opened_at - (i.detail ->> 'expectedAt')::timestamptz) * 1000) end as notice_ms,
           case when i.resolution in ('recovered', 'by hand') then
             extract(epoch from i.resolved_at - i.opened_at) * 1000 end as recovery_ms
    from span, public.incidents i
    left join public.job_inventory j on j.id = i.job_inventory_id
    where i.severity <> 'info' and (i.resolved_at is null or i.resolved_at >= span.before_since)
  ), failures as materialized (
    select l.project_name, l.job_name,
           -- no more than keeps the groups few: rules/fingerprint.ts decides what is one error
           coalesce(l.folded_error, '') as folded,
           max(left(coalesce(l.error_message, ''), 1000)) as message,
           count(*) filter (where l.at >= l.since) as count,
           count(*) filter (where l.at >= l.before_since and l.at < l.before_until) as before,
           min(l.at) as first_at, max(l.at) as last_at
    from (
      select h.*, span.*, coalesce(h.run_at, h.collected_at) as at
      from span, public.job_health_log h
      where h.status = 'failed' and h.collected_at >= least(span.since - interval '28 days', span.before_since)) as l
    where l.at < l.until
    group by 1, 2, 3
    order by count desc, before desc, last_at desc
    limit 500
  ), series as materialized (
    select d.name, d.unit, s.project_name, s.labels, s.series, s.value, s.severity, s.alarm, s.summary, s.recorded_at,
           s.recorded_at < now() - make_interval(mins => 15 + 3 * d.interval_minutes) as stale
    from public.metric_state s
    join public.metric_definitions d on d.id = s.metric_definition_id and d.enabled
    where s.recorded_at > now() - interval '7 days'
    order by array_position('{critical,warning,none}', s.alarm), array_position('{critical,warning,unknown,ok}', s.severity),
             s.series = '' desc, d.name ~ '^(ai_|queue_|dead_letter)' desc, d.name, s.project_name, s.series
    limit least(5 * p_limit, 300)
  ), numbers as (
    -- each range by itself, so that only its days are read
    select m.metric_name, m.project_name, m.labels, m.recorded_at, m.value, true as present
    from public.system_metrics m
    where m.recorded_at >= p_from::timestamp at time zone 'UTC'
      and m.recorded_at < (p_from + p_days)::timestamp at time zone 'UTC'
      and m.value is not null and m.metric_name in (select name from series)
    union all
    select m.metric_name, m.project_name, m.labels, m.recorded_at, m.value, false
    from public.system_metrics m
    where m.recorded_at >= p_before::timestamp at time zone 'UTC'
      and m.recorded_at < (p_before + p_days)::timestamp at time zone 'UTC'
      and m.value is not null and m.metric_name in (select name from series)
  ), averaged as materialized (
    select metric_name, project_name, labels, avg(value) filter (where present) as average,
           avg(value) filter (where not present) as average_before, max(value) filter (where present) as most
    from numbers group by 1, 2, 3
  ), hourly as materialized (
    -- what is counted by the hour adds up, and only of costs does anybody want the sum
    select metric_name, project_name, labels, present, avg(value) as average
    from numbers where metric_name ~ '(^|_)(cost|tokens)(_|$)'
    group by 1, 2, 3, 4, date_trunc('hour', recorded_at)
  ), added as materialized (
    select metric_name, project_name, labels, sum(average) filter (where present) as hours_total,
           sum(average) filter (where not present) as hours_total_before
    from hourly group by 1, 2, 3
  ), measured as materialized (
    select a.metric_name as name, a.project_name, a.labels, a.average, a.average_before, a.most, h.hours_total,
           h.hours_total_before
    from averaged a
    left join added h using (metric_name, project_name, labels)
  ), owed as materialized (
    select d.state, d.last_error, c.id as config_id, coalesce(c.name, c.channel, d.channel) as name, d.channel,
           coalesce(d.sent_at >= span.since and d.sent_at < span.until, false) as sent,
           coalesce(d.sent_at >= span.before_since and d.sent_at < span.before_until, false) as sent_before,
           coalesce(d.settled_at >= span.since and d.settled_at < span.until, false) as settled
    from span, public.alert_deliveries d
    left join public.alert_config c on c.id = d.alert_config_id
    where d.event in ('opened', 'reminder', 'resolved')
      and (d.state in ('due', 'unroutable') or d.settled_at >= span.before_since)
  )
  select jsonb_build_object(
    'at', monitoring.epoch_ms(now()),
    'monitor', jsonb_build_object(
      'lastCompleteAt', (
        select monitoring.epoch_ms(max(ended_at)) from public.check_runs
        where function_name = 'check-job-health' and status = 'complete'),
      'checks', (
        select count(*) from public.check_runs r, span
        where r.function_name = 'check-job-health' and r.began_at >= span.since and r.began_at < span.until),
      'incompleteChecks', (
        select count(*) from public.check_runs r, span
        where r.function_name = 'check-job-health' and r.began_at >= span.since and r.began_at < span.until
          and r.status <> 'complete'),
      'deadChannels', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'name', coalesce(c.name, c.channel), 'reason', left(s.reason, 500), 'since', monitoring.epoch_ms(s.since))
          order by s.since), '[]')
        from public.channel_state s join public.alert_config c on c.id = s.alert_config_id and c.enabled
        where s.status = 'dead'),
      'routes', (select count(*) from public.alert_config where enabled and events <> '{}')),
    'totals', (
      select jsonb_build_object(
        'jobs', count(*) filter (where here and watched),
        'healthy', count(*) filter (where here and watched and status = 'healthy'),
        'bad', count(*) filter (where here and watched and status in ('failed', 'missed')),
        'unknown', count(*) filter (where here and watched and status = 'unknown'),
        'paused', count(*) filter (where here and watched and status = 'paused'),
        'now', jsonb_build_object(
          'runs', coalesce(sum(runs), 0), 'successes', coalesce(sum(successes), 0), 'failures', coalesce(sum(failures), 0),
          'missed', coalesce(sum(missed), 0), 'unknown', coalesce(sum(unknown), 0)),
        'before', jsonb_build_object(
          'runs', coalesce(sum(runs_before), 0), 'successes', coalesce(sum(successes_before), 0),
          'failures', coalesce(sum(failures_before), 0), 'missed', coalesce(sum(missed_before), 0),
          'unknown', coalesce(sum(unknown_before), 0)))
      from by_job),
    'projects', jsonb_build_object(
      'count', (select count(*) from by_project),
      'rows', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'name', project_name, 'status', status, 'error', left(error_message, 500), 'jobs', jobs,
          'now', jsonb_build_object(
            'runs', runs, 'successes', successes, 'failures', failures, 'missed', missed, 'unknown', unknown),
          'before', jsonb_build_object(
            'runs', runs_before, 'successes', successes_before, 'failures', failures_before, 'missed', missed_before,
            'unknown', unknown_before))), '[]')
        from (select * from by_project
              order by (status = 'error') desc, failures + missed desc, project_name limit p_limit) as p)),
    'troubled', jsonb_build_object(
      'count', (select count(*) from by_job where failures + missed > 0),
      'rows', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'project', project_name, 'name', job_name, 'owner', owner, 'criticality', criticality, 'status', status,
          'here', here,
          'now', jsonb_build_object(
            'runs', runs, 'successes', successes, 'failures', failures, 'missed', missed, 'unknown', unknown),
          'before', jsonb_build_object(
            'runs', runs_before, 'successes', successes_before, 'failures', failures_before, 'missed', missed_before,
            'unknown', unknown_before))), '[]')
        from (select * from by_job where failures + missed > 0
              order by monitoring.severity_rank(criticality), failures + missed desc, project_name, job_name
              limit p_limit) as t)),
    'slowest', jsonb_build_object(
      'count', (select count(*) from by_job where p95 is not null),
      'rows', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'project', project_name, 'name', job_name, 'p50', p50, 'p95', p95)), '[]')
        from (select * from by_job where p95 is not null
              order by p95 desc, project_name, job_name limit p_limit) as t)),
    'slowing', jsonb_build_object(
      'count', (select count(*) from by_job where p50 >= 1.5 * p50_before and p50 - p50_before >= 1000),
      'rows', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'project', project_name, 'name', job_name, 'owner', owner, 'p50', p50, 'before', p50_before)), '[]')
        from (select * from by_job where p50 >= 1.5 * p50_before and p50 - p50_before >= 1000
              order by p50 / nullif(p50_before, 0) desc nulls first, project_name, job_name limit p_limit) as t)),
    'incidents', (
      select jsonb_build_object(
        'opened', count(*) filter (where opened), 'openedBefore', count(*) filter (where opened_before),
        'closed', count(*) filter (where closed), 'closedBefore', count(*) filter (where closed_before),
        'open', count(*) filter (where resolved_at is null),
        'falseAlarms', count(*) filter (where opened and false_alarm_at is not null),
        'falseAlarmsBefore', count(*) filter (where opened_before and false_alarm_at is not null),
        'noticeMs', percentile_cont(0.5) within group (order by notice_ms) filter (where opened),
        'noticeMsBefore', percentile_cont(0.5) within group (order by notice_ms) filter (where opened_before),
        'noticeMsMost', max(notice_ms) filter (where opened),
        'recoveryMs', percentile_cont(0.5) within group (order by recovery_ms) filter (where closed),
        'recoveryMsBefore', percentile_cont(0.5) within group (order by recovery_ms) filter (where closed_before),
        'recoveryMsMost', max(recovery_ms) filter (where closed),
        'openRows', (
          select coalesce(jsonb_agg(jsonb_build_object(
            'id', id, 'project', project_name, 'subject', subject, 'code', code, 'severity', severity,
            'summary', left(summary, 500), 'owner', owner, 'openedAt', monitoring.epoch_ms(opened_at),
            'acknowledgedBy', acknowledged_by)), '[]')
          from (select * from told where resolved_at is null
                order by monitoring.severity_rank(severity), opened_at, id limit p_limit) as o),
        'closedRows', (
          select coalesce(jsonb_agg(jsonb_build_object(
            'id', id, 'project', project_name, 'subject', subject, 'code', code, 'severity', severity,
            'resolution', resolution, 'noticeMs', notice_ms,
            'lastedMs', extract(epoch from resolved_at - opened_at) * 1000, 'falseAlarm', false_alarm_at is not null)), '[]')
          from (select * from told where closed
                order by monitoring.severity_rank(severity), resolved_at - opened_at desc, id limit p_limit) as c))
      from told),
    'errors', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'project', project_name, 'job', job_name, 'message', message, 'count', count, 'before', before,
        'firstAt', monitoring.epoch_ms(first_at), 'lastAt', monitoring.epoch_ms(last_at)) order by count desc, last_at desc), '[]')
      from failures),
    'metrics', jsonb_build_object(
      'count', (
        select count(*) from public.metric_state s
        join public.metric_definitions d on d.id = s.metric_definition_id and d.enabled
        where s.recorded_at > now() - interval '7 days'),
      'rows', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'name', r.name, 'project', r.project_name, 'labels', r.labels, 'unit', r.unit, 'value', r.value,
          'severity', r.severity, 'alarm', r.alarm, 'stale', r.stale, 'readAt', monitoring.epoch_ms(r.recorded_at), 'summary', left(r.summary, 500), 'average', m.average,
          'averageBefore', m.average_before, 'most', m.most, 'hoursTotal', m.hours_total,
          'hoursTotalBefore', m.hours_total_before)
          order by array_position('{critical,warning,none}', r.alarm),
                   array_position('{critical,warning,unknown,ok}', r.severity), r.name, r.project_name, r.series), '[]')
        from series r
        left join measured m on m.name = r.name and m.project_name = r.project_name and m.labels = r.labels),
      'failing', (
        select coalesce(jsonb_agg(jsonb_build_object('name', name, 'project', project_name, 'error', left(error, 500))), '[]')
        from (select d.name, c.project_name, c.error
              from public.metric_collections c
              join public.metric_definitions d on d.id = c.metric_definition_id and d.enabled
              where c.status = 'failed'
              order by c.failing_since, d.name, c.project_name limit p_limit) as f)),
    'unannotated', jsonb_build_object(
      'count', (select count(*) from jobs where here and watched and bare),
      'rows', (
        select coalesce(jsonb_agg(jsonb_build_object('project', project_name, 'name', job_name)), '[]')
        from (select * from by_job where here and watched and bare
              order by failures + missed desc, runs desc, project_name, job_name limit p_limit) as u)),
    'silences', jsonb_build_object(
      'count', (select count(*) from public.silences where ends_at is null or ends_at > now()),
      'rows', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'project', project_name, 'pattern', job_pattern, 'startsAt', monitoring.epoch_ms(starts_at),
          'endsAt', monitoring.epoch_ms(ends_at), 'schedule', schedule, 'by', created_by, 'reason', left(reason, 300))), '[]')
        from (select * from public.silences where ends_at is null or ends_at > now()
              order by starts_at, id limit p_limit) as s)),
    'alerts', (
      select jsonb_build_object(
        'sent', count(*) filter (where o.sent), 'sentBefore', count(*) filter (where o.sent_before),
        'suppressed', count(*) filter (where o.state = 'cancelled' and o.settled),
        'failed', count(*) filter (where o.state = 'failed' and o.settled),
        'waiting', count(*) filter (where o.state = 'due'), 'unroutable', count(*) filter (where o.state = 'unroutable'),
        'channels', (
          select coalesce(jsonb_agg(jsonb_build_object('name', name, 'channel', channel, 'sent', count)), '[]')
          from (select name, channel, count(*) as count from owed where sent
                group by config_id, name, channel order by 3 desc, 1 limit p_limit) as c),
        'suppressedFor', (
          select coalesce(jsonb_agg(jsonb_build_object('reason', reason, 'count', count)), '[]')
          from (select left(last_error, 200) as reason, count(*) as count from owed
                where state = 'cancelled' and settled group by 1 order by 2 desc, 1 limit 5) as r))
      from owed o),
    'changes', jsonb_build_object(
      'count', (
        select count(*) from public.inventory_changes c, span
        where c.noticed_at >= span.since and c.noticed_at < span.until),
      'rows', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'project', project_name, 'name', job_name, 'type', job_type, 'change', change,
          'from', left(old_value, 200), 'to', left(new_value, 200))), '[]')
        from (select c.* from public.inventory_changes c, span
              where c.noticed_at >= span.since and c.noticed_at < span.until
              order by c.noticed_at desc, c.id desc limit p_limit) as c)))
$$;
comment on function monitoring.report_facts(integer, date, date, integer) is
  'Everything that a report of p_days UTC days from p_from says, beside as many days from p_before: at one instant, at most p_limit rows a list (errors 500, metrics 300). Durations are in milliseconds.';

-- --- nobody but the owner ---

alter table public.report_subscriptions enable row level security;
alter table public.report_sendings enable row level security;
revoke all on table public.report_subscriptions, public.report_sendings from public, anon, authenticated;
revoke execute on all functions in schema monitoring from public;
