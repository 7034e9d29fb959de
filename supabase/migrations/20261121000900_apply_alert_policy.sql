-- Who is told what, and when: what people say about it, what the machine keeps of it, and the functions that write what
-- the policy (rules/alert_policy.ts) decided. TypeScript decides, this writes: one transaction a tick, refused when
-- another tick decided meanwhile.

insert into public.app_settings (key, value, description) values
  ('delivery_days', '90', 'How many days deliveries that are sent, failed or cancelled are kept. Those of open incidents stay.'),
  ('silence_days', '90', 'How many days silences are kept after their end.'),
  ('incident_days', '400', 'How many days incidents are kept after their end. Open ones stay.'),
  ('flapping_changes', '4', 'So many changes (opened, recovered) of one job or project within flapping_minutes become one "flapping" incident instead of a message each. 0: never.'),
  ('flapping_minutes', '60', 'The window of flapping_changes in minutes; a flapping incident ends when nothing has changed for as long.');
alter table public.app_settings
  add constraint "delivery_days, silence_days, incident_days are 1 to 9999" check (
    key not in ('delivery_days', 'silence_days', 'incident_days') or (value ~ '^[0-9]{1,4}$' and value::integer >= 1)
  ),
  add constraint "flapping_changes is 0 (never) or 3 to 100" check (
    key <> 'flapping_changes' or (value ~ '^[0-9]{1,3}$' and (value::integer = 0 or value::integer between 3 and 100))
  ),
  add constraint "flapping_minutes is 5 to 1440" check (
    key <> 'flapping_minutes' or (value ~ '^[0-9]{1,4}$' and value::integer between 5 and 1440)
  );

-- --- what people write ---

alter table public.alert_config
  add column project_name text,
  add column min_severity text,
  add column events text[] not null default '{opened,reminder,resolved}',
  add column quiet_from time,
  add column quiet_until time,
  add column quiet_time_zone text not null default 'UTC',
  add column repeat_minutes integer not null default 360,
  add column escalation_minutes integer,
  add column only_escalations boolean not null default false,
  add column priority integer not null default 100,
  add constraint "project_name is not empty (use NULL for all)" check (btrim(project_name) <> ''),
  add constraint "min_severity is critical, important or low" check (min_severity in ('critical', 'important', 'low')),
  add constraint "events are some of opened, reminder, resolved" check (
    cardinality(events) > 0 and events <@ '{opened,reminder,resolved}' and array_position(events, null) is null
  ),
  add constraint "quiet_from and quiet_until are given together and differ" check (
    (quiet_from is null) = (quiet_until is null) and quiet_from is distinct from coalesce(quiet_until, '24:00')
  ),
  add constraint "repeat_minutes is 0 (no reminders) or 5 to 43200 (30 days)" check (
    repeat_minutes = 0 or repeat_minutes between 5 and 43200
  ),
  add constraint "escalation_minutes is 1 to 10080 (7 days)" check (escalation_minutes between 1 and 10080),
  add constraint "only_escalations needs escalation_minutes" check (not only_escalations or escalation_minutes is not null),
  add constraint "priority is 0 to 1000" check (priority between 0 and 1000);
comment on column public.alert_config.project_name is 'Only alerts of this project. Empty: of every project.';
comment on column public.alert_config.min_severity is 'Only alerts at least as grave: critical, important or low. Empty: whatever criticality says.';
comment on column public.alert_config.events is 'Which news: opened (it began), reminder (it still lasts), resolved (it is over).';
comment on column public.alert_config.quiet_from is 'Quiet hours begin, such as 22:00. Important and low alerts wait until they end; critical ones never wait.';
comment on column public.alert_config.quiet_until is 'Quiet hours end, such as 07:00; may be on the next day.';
comment on column public.alert_config.quiet_time_zone is 'Time zone of the quiet hours, such as Europe/Berlin.';
comment on column public.alert_config.repeat_minutes is 'Minutes between reminders while an incident lasts. 0: no reminders.';
comment on column public.alert_config.escalation_minutes is 'Critical incidents come here only when nobody has acknowledged them for so many minutes. Empty: at once.';
comment on column public.alert_config.only_escalations is 'true: nothing but those critical incidents comes here.';
comment on column public.alert_config.priority is 'Which row takes over when another one''s channel is dead: the lowest number first.';

create table public.silences (
  id uuid primary key default gen_random_uuid(),
  project_name text,
  job_pattern text not null default '*',
  starts_at timestamptz not null default now(),
  ends_at timestamptz,
  schedule text,
  duration_minutes integer,
  time_zone text not null default 'UTC',
  created_by text not null,
  reason text not null,
  created_at timestamptz not null default now(),
  ended_by text,
  constraint "project_name is not empty (use NULL for all)" check (btrim(project_name) <> ''),
  constraint "job_pattern is not empty (use * for all)" check (btrim(job_pattern) <> ''),
  constraint "created_by says who" check (btrim(created_by) <> ''),
  constraint "reason says why" check (btrim(reason) <> ''),
  constraint "starts_at and ends_at are instants, not infinity" check (isfinite(starts_at) and (ends_at is null or isfinite(ends_at))),
  constraint "a silence without a schedule ends" check (schedule is not null or ends_at is not null),
  constraint "schedule and duration_minutes are given together" check ((schedule is null) = (duration_minutes is null)),
  constraint "schedule has five fields: minute hour day month weekday" check (schedule ~ '^\s*\S+(\s+\S+){4}\s*$'),
  constraint "duration_minutes is 1 to 44640 (31 days)" check (duration_minutes between 1 and 44640)
);
comment on table public.silences is 'What is not told for a while. Incidents are recorded all the same; one that still holds when its silence ends is told then.';
comment on column public.silences.project_name is 'The project. Empty: every project.';
comment on column public.silences.job_pattern is 'Name of the jobs: * stands for any text, ? for one character, \ before either for itself. * alone also silences the project''s own incidents.';
comment on column public.silences.starts_at is 'From when on.';
comment on column public.silences.ends_at is 'Until when; may be empty where there is a schedule.';
comment on column public.silences.schedule is 'Comes back by this cron schedule (usual cron rules, five fields), such as 0 2 * * 0. Empty: once.';
comment on column public.silences.duration_minutes is 'How long each time, in minutes.';
comment on column public.silences.time_zone is 'Time zone of the schedule, such as Europe/Berlin.';
comment on column public.silences.created_by is 'Who.';
comment on column public.silences.reason is 'Why.';
comment on column public.silences.ended_by is 'Who ended it before its time.';
create index silences_ends on public.silences (ends_at);

create function monitoring.check_time_zone() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  v_zone text := to_jsonb(new) ->> tg_argv[0];
begin
  if v_zone <> 'UTC' and not exists (select from pg_catalog.pg_timezone_names where name = v_zone) then
    raise exception '% is a time zone such as Europe/Berlin, not "%"', tg_argv[0], v_zone using errcode = 'check_violation';
  end if;
  return new;
end
$$;
comment on function monitoring.check_time_zone() is 'Trigger: refuses a time zone that Postgres does not know in the column named.';

create trigger alert_config_time_zone before insert or update of quiet_time_zone on public.alert_config
  for each row execute function monitoring.check_time_zone('quiet_time_zone');
create trigger silences_time_zone before insert or update of time_zone on public.silences
  for each row execute function monitoring.check_time_zone('time_zone');

alter table public.incidents
  add column acknowledged_at timestamptz,
  add column acknowledged_by text,
  add column acknowledgement_note text,
  add column false_alarm_at timestamptz,
  add column false_alarm_by text,
  add column resolved_by text,
  add column reminders_from timestamptz,
  add column quiet_until timestamptz,
  add column gravest_severity text,
  add column raised_at timestamptz,
  add column raised_from text,
  add constraint "raised_at and raised_from are given together" check ((raised_at is null) = (raised_from is null)),
  add constraint "an acknowledgement says who" check ((acknowledged_at is null) = (acknowledged_by is null)),
  add constraint "a false alarm says who" check ((false_alarm_at is null) = (false_alarm_by is null));
comment on column public.incidents.acknowledged_at is 'When somebody took it on: no more reminders and no escalation; its end is told all the same.';
comment on column public.incidents.false_alarm_at is 'When somebody said that nothing was wrong.';
comment on column public.incidents.resolved_by is 'Who closed it by hand.';
comment on column public.incidents.reminders_from is 'Reminders count as if it had been told last at this time; set where somebody moved them, empty again once an alert of it was sent.';
comment on column public.incidents.quiet_until is 'Neither its beginning nor a reminder is told before.';
comment on column public.incidents.gravest_severity is 'The gravest severity that it ever had.';
comment on column public.incidents.raised_at is 'When it became graver than it had ever been: that is news, told at once.';
comment on column public.incidents.raised_from is 'The gravest severity before that.';

create function monitoring.severity_rank(p_severity text) returns integer
language sql
immutable
set search_path = ''
as $$
  select array_position(array['critical', 'important', 'low', 'info'], p_severity)
$$;
comment on function monitoring.severity_rank(text) is 'Place of a severity; 1 is the gravest.';

create function monitoring.note_raised_severity() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    new.gravest_severity := new.severity;
  elsif monitoring.severity_rank(new.severity) < monitoring.severity_rank(coalesce(old.gravest_severity, old.severity)) then
    new.raised_at := clock_timestamp();
    new.raised_from := coalesce(old.gravest_severity, old.severity);
    new.gravest_severity := new.severity;
  end if;
  return new;
end
$$;
comment on function monitoring.note_raised_severity() is 'Trigger: keeps when an incident became graver than ever before. Less grave, and as grave again, is no news.';
create trigger incidents_raised before insert or update of severity on public.incidents
  for each row execute function monitoring.note_raised_severity();

create index incidents_resolved on public.incidents (resolved_at) where resolved_at is not null;

-- --- what the machine keeps ---

create table public.channel_state (
  alert_config_id uuid primary key references public.alert_config (id) on delete cascade,
  status text not null default 'healthy',
  reason text,
  since timestamptz not null default now(),
  last_success_at timestamptz,
  last_failure_at timestamptz,
  refused_in_a_row integer not null default 0,
  constraint "status is healthy or dead" check (status in ('healthy', 'dead')),
  constraint "a dead channel says why" check (status <> 'dead' or reason is not null)
);
comment on table public.channel_state is 'Whether what is sent through a row of alert_config arrives. Healthy again after a success or an edit of the row.';
comment on column public.channel_state.reason is 'What its vendor said.';
comment on column public.channel_state.refused_in_a_row is 'Messages refused for what they say since one got through. The third makes the channel dead: then it is not the message.';

create table monitoring.policy_state (
  only_row boolean primary key default true,
  version bigint not null default 0,
  constraint "there is one row" check (only_row)
);
comment on table monitoring.policy_state is 'Version of the last tick of the alert policy: two ticks at once notice each other.';
insert into monitoring.policy_state default values;

create function monitoring.note_channel_result(p_alert_config_id uuid, p_error text, p_refused text default 'target') returns void
language sql
set search_path = ''
as $$
  with result as (
    select c.id, coalesce(s.refused_in_a_row, 0) + 1 as refusals, coalesce(s.status = 'dead', false) as was_dead
    from public.alert_config c
    left join public.channel_state s on s.alert_config_id = c.id
    where c.id = p_alert_config_id
  ), judged as (
    select id, case when p_error is null or p_refused <> 'message' then 0 else refusals end as refused_in_a_row,
           case when p_error is null then 'healthy'
                when p_refused <> 'message' or was_dead or refusals >= 3 then 'dead'
                else 'healthy' end as status,
           case when p_refused = 'message' then format('it refused the last %s messages: %s', refusals, p_error)
                else p_error end as reason
    from result
  )
  insert into public.channel_state as s
    (alert_config_id, status, reason, refused_in_a_row, last_success_at, last_failure_at)
  select id, status, case when status = 'dead' then reason end, refused_in_a_row,
         case when p_error is null then now() end, case when p_error is not null then now() end
  from judged
  on conflict (alert_config_id) do update set
    since = case when s.status = excluded.status then s.since else now() end,
    status = excluded.status,
    reason = case when s.status = 'dead' and p_refused = 'message' and p_error is not null then s.reason else excluded.reason end,
    refused_in_a_row = excluded.refused_in_a_row,
    last_success_at = coalesce(excluded.last_success_at, s.last_success_at),
    last_failure_at = coalesce(excluded.last_failure_at, s.last_failure_at);
$$;
comment on function monitoring.note_channel_result(uuid, text, text) is
  'Keeps that a row of alert_config got something through (NULL), or what its vendor refused for good: the target, which makes it dead, or a message, of which the third in a row does.';

create function monitoring.follow_delivery() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform monitoring.note_channel_result(
    new.alert_config_id, case when new.state = 'failed' then new.last_error end, coalesce(new.refused, 'target'));
  return null;
end
$$;
comment on function monitoring.follow_delivery() is 'Trigger: what a delivery''s end says of its channel.';
create trigger alert_deliveries_channel_state after update of state on public.alert_deliveries
  for each row
  when (old.state = 'due' and new.state in ('sent', 'failed') and new.alert_config_id is not null)
  execute function monitoring.follow_delivery();

create function monitoring.trust_edited_channel() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  update public.channel_state
  set status = 'healthy', reason = null, refused_in_a_row = 0,
      since = case when status = 'dead' then now() else since end
  where alert_config_id = new.id and (status = 'dead' or refused_in_a_row > 0);
  return null;
end
$$;
comment on function monitoring.trust_edited_channel() is 'Trigger: a row of alert_config that a person edited is tried again.';
create trigger alert_config_trust after update on public.alert_config
  for each row
  when (old.* is distinct from new.*)
  execute function monitoring.trust_edited_channel();

-- --- what the policy reads ---

create function monitoring.epoch_ms(p_at timestamptz) returns bigint
language sql
immutable
set search_path = ''
as $$
  -- infinity, which people write for "until further notice", is no number: the years 1 to 2199 stand for all time
  select case when p_at is not null then
    round(extract(epoch from least(greatest(p_at, '0001-01-01 00:00:00+00'), '2200-01-01 00:00:00+00')) * 1000)::bigint
  end
$$;
comment on function monitoring.epoch_ms(timestamptz) is 'An instant as milliseconds since 1970; before the year 1 and after 2199, the first or last of those.';

create function monitoring.alert_target_key(c public.alert_config) returns text
language sql
stable
set search_path = ''
as $$
  -- what identifies the place, not what opens it: two bots in one chat are one target
  select encode(sha256(convert_to(jsonb_build_array(
    c.channel, c.webhook_url, c.chat_id, c.thread_id, c.recipients,
    case when c.channel = 'pagerduty' then c.api_key end)::text, 'UTF8')), 'hex')
$$;
comment on function monitoring.alert_target_key(public.alert_config) is
  'The same for rows of alert_config that name the same target in the same way; send-alert compares what references lead to as well.';

create function monitoring.alert_route_json(c public.alert_config) returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'id', c.id,
    'name', c.name,
    'channel', c.channel,
    'criticality', c.criticality,
    'enabled', c.enabled,
    'projectName', c.project_name,
    'minSeverity', c.min_severity,
    'events', to_jsonb(c.events),
    'quietFrom', to_char(c.quiet_from, 'HH24:MI'),
    'quietUntil', to_char(c.quiet_until, 'HH24:MI'),
    'quietTimeZone', c.quiet_time_zone,
    'repeatMinutes', c.repeat_minutes,
    'escalationMinutes', c.escalation_minutes,
    'onlyEscalations', c.only_escalations,
    'priority', c.priority,
    'targetKey', monitoring.alert_target_key(c),
    'dead', (
      select jsonb_build_object(
        'reason', s.reason, 'since', monitoring.epoch_ms(s.since), 'lastFailureAt', monitoring.epoch_ms(s.last_failure_at))
      from public.channel_state s where s.alert_config_id = c.id and s.status = 'dead'),
    'lastSuccessAt', (
      select monitoring.epoch_ms(s.last_success_at) from public.channel_state s where s.alert_config_id = c.id))
$$;
comment on function monitoring.alert_route_json(public.alert_config) is 'What a row of alert_config takes and how its channel is; no secret is among it.';

create function monitoring.policy_view(p_now timestamptz, p_limit integer) returns jsonb
language sql
stable
set search_path = ''
as $$
  with setting as (
    select coalesce(max(value) filter (where key = 'flapping_changes'), '4')::integer as changes,
           coalesce(max(value) filter (where key = 'flapping_minutes'), '60')::integer as minutes
    from public.app_settings where key in ('flapping_changes', 'flapping_minutes')
  ), due as materialized (
    select d.*
    from public.alert_deliveries d
    join public.alert_config c on c.id = d.alert_config_id and c.channel = d.channel and c.enabled
    where d.state = 'due' and d.event not in ('test', 'acknowledged', 'report') and (d.leased_until is null or d.leased_until <= now())
    order by d.admitted_at nulls first, d.created_at, d.id
    limit p_limit
  ), failed as materialized (
    select d.*
    from public.alert_deliveries d
    where d.state = 'failed' and d.followed_at is null and d.event not in ('test', 'acknowledged', 'report') and d.alert_config_id is not null
    order by d.settled_at, d.id
    limit 500
  ), unresolved as materialized (
    select i.id, max(d.sent_at) as told_at
    from public.incidents i
    left join public.delivery_incidents t on t.incident_id = i.id
    left join public.alert_deliveries d on d.id = t.delivery_id and d.state = 'sent' and d.event <> 'acknowledged'
    where i.resolved_at is null and i.severity <> 'info'
    group by i.id
    -- where there are more than one tick looks at, those that were told longest ago come first
    order by max(d.sent_at) nulls first, i.id
    limit p_limit
  ), relevant as materialized (
    select id from unresolved
    union
    select t.incident_id
    from (select id from due union all select id from failed) as owed
    join public.delivery_incidents t on t.delivery_id = owed.id
  ), told as materialized (
    select t.incident_id, d.alert_config_id,
           -- sent, or the vendor may have it: on its way, or given up after an attempt without an answer, or in part
           bool_or(d.event <> 'resolved' and (d.state = 'sent' or d.uncertain_attempts > 0 or (
             d.state = 'failed' and coalesce(jsonb_path_exists(d.rendered, '$.progress.*.state ? (@ == "sent")'), false)))) as heard,
           min(d.sent_at) filter (where d.event <> 'resolved') as first_at,
           max(d.sent_at) filter (where d.event <> 'resolved') as last_at,
           array_agg(distinct d.event) filter (where d.state in ('due', 'sent')) as live,
           array_agg(distinct d.event) filter (where d.state = 'due') as due,
           count(*) filter (where d.state = 'failed') as failed,
           max(greatest(d.created_at, d.admitted_at)) filter (where d.event <> 'resolved' and d.state <> 'cancelled') as news_at
    from relevant r
    join public.delivery_incidents t on t.incident_id = r.id
    join public.alert_deliveries d on d.id = t.delivery_id
    where d.alert_config_id is not null and d.event <> 'acknowledged'
    group by t.incident_id, d.alert_config_id
  ), told_json as materialized (
    select incident_id, jsonb_agg(jsonb_build_object(
      'row', alert_config_id, 'heard', heard, 'firstAt', monitoring.epoch_ms(first_at),
      'lastAt', monitoring.epoch_ms(case when last_at is not null then coalesce(i.reminders_from, last_at) end),
      'live', coalesce(live, '{}'), 'due', coalesce(due, '{}'),
      'failed', failed, 'newsAt', monitoring.epoch_ms(news_at))) as told
    from told join public.incidents i on i.id = told.incident_id
    group by incident_id
  ), changes as materialized (
    select i.subject_kind, i.subject_id, i.id, i.opened_at as at
    from public.incidents i, setting
    where i.opened_at > p_now - make_interval(mins => setting.minutes)
    union all
    select i.subject_kind, i.subject_id, i.id, i.resolved_at
    from public.incidents i, setting
    where i.resolved_at > p_now - make_interval(mins => setting.minutes)
      and i.resolved_at > i.opened_at and i.resolution = 'recovered'
  ), restless as materialized (
    select c.subject_kind, c.subject_id, count(*) as changes, max(c.at) as last_at, (array_agg(c.id order by c.at desc))[1] as last_id,
           jsonb_agg(distinct i.severity) as severities, jsonb_agg(distinct i.code) as codes
    from changes c
    join public.incidents i on i.id = c.id
    where i.code not in ('flapping', 'channel_dead') and i.severity <> 'info'
    group by c.subject_kind, c.subject_id
  )
  select jsonb_build_object(
    'version', (select version from monitoring.policy_state),
    'flappingChanges', (select changes from setting),
    'flappingMinutes', (select minutes from setting),
    'routes', (select coalesce(jsonb_agg(monitoring.alert_route_json(c) order by c.created_at, c.id), '[]')
               from public.alert_config c),
    'silences', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', s.id, 'projectName', s.project_name, 'jobPattern', s.job_pattern,
        'startsAt', monitoring.epoch_ms(s.starts_at), 'endsAt', monitoring.epoch_ms(s.ends_at),
        'schedule', s.schedule, 'durationMinutes', s.duration_minutes, 'timeZone', s.time_zone,
        'createdBy', s.created_by, 'reason', s.reason) order by s.created_at, s.id), '[]')
      from public.silences s
      where s.starts_at <= p_now and (s.ends_at is null or s.ends_at > p_now)),
    'incidents', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', i.id, 'projectName', i.project_name, 'subjectKind', i.subject_kind, 'subjectId', i.subject_id,
        'jobName', j.job_name, 'alertChannel', j.alert_channel, 'code', i.code, 'severity', i.severity,
        'raised', case when i.raised_at is not null and i.severity = i.gravest_severity then
          jsonb_build_object('at', monitoring.epoch_ms(i.raised_at), 'from', i.raised_from) end,
        'openedAt', monitoring.epoch_ms(i.opened_at), 'resolvedAt', monitoring.epoch_ms(i.resolved_at),
        'acknowledgedBy', i.acknowledged_by, 'quietUntil', monitoring.epoch_ms(i.quiet_until),
        'owed', exists (select from public.delivery_incidents t where t.incident_id = i.id),
        'told', coalesce(t.told, '[]')) order by i.opened_at, i.id), '[]')
      from relevant r
      join public.incidents i on i.id = r.id
      left join public.job_inventory j on j.id = i.job_inventory_id
      left join told_json t on t.incident_id = i.id),
    'deliveries', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', d.id, 'row', d.alert_config_id, 'event', d.event, 'note', d.note,
        'createdAt', monitoring.epoch_ms(d.created_at), 'admitted', d.admitted_at is not null,
        'heldReason', d.held_reason, 'attempts', d.attempts, 'uncertain', d.uncertain_attempts > 0,
        'failed', d.state = 'failed', 'refused', d.refused, 'lastError', d.last_error,
        'incidents', (select coalesce(jsonb_agg(t.incident_id order by t.incident_id), '[]')
                      from public.delivery_incidents t where t.delivery_id = d.id)) order by d.created_at, d.id), '[]')
      from (select * from due union all select * from failed) as d),
    'admittedRecently', (
      select coalesce(jsonb_object_agg(alert_config_id, messages), '{}')
      from (
        select d.alert_config_id, count(*) as messages
        from public.alert_deliveries d
        where d.admitted_at > p_now - interval '5 minutes' and d.state in ('due', 'sent') and d.event <> 'acknowledged'
          and d.alert_config_id is not null
        group by d.alert_config_id) as recent),
    'restless', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'subjectKind', r.subject_kind, 'subjectId', r.subject_id, 'changes', r.changes,
        'lastAt', monitoring.epoch_ms(r.last_at), 'severities', r.severities, 'codes', r.codes,
        'projectName', i.project_name, 'jobInventoryId', i.job_inventory_id, 'jobName', j.job_name,
        'alertChannel', j.alert_channel)), '[]')
      from restless r
      join public.incidents i on i.id = r.last_id
      left join public.job_inventory j on j.id = i.job_inventory_id
      where r.changes >= 3
         or exists (select from public.incidents f
                    where f.subject_kind = r.subject_kind and f.subject_id = r.subject_id
                      and f.code = 'flapping' and f.resolved_at is null)),
    'strayRequests', (
      select coalesce(jsonb_agg(distinct j.alert_channel), '[]')
      from public.job_inventory j
      where j.alert_channel is not null and j.removed_at is null
        and not exists (select from public.alert_config c where c.enabled and j.alert_channel in (c.name, c.channel))),
    'strayProjects', (
      select coalesce(jsonb_agg(distinct c.project_name), '[]')
      from public.alert_config c
      where c.project_name is not null
        and not exists (select from public.project_state s where s.project_name = c.project_name)
        and not exists (select from public.monitored_projects m where m.name = c.project_name)))
$$;
comment on function monitoring.policy_view(timestamptz, integer) is
  'Everything that the alert policy decides from, at one instant: rows of alert_config, silences, unresolved incidents with what each row was told of them, deliveries that wait, channels, restless subjects.';

-- --- what the policy decided ---

create function monitoring.apply_policy(p jsonb) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz := (p ->> 'now')::timestamptz;
  v_version bigint;
  v_free uuid[];
  v_created uuid[];
  v_settled integer;
  v_opened integer;
  v_resolved integer;
begin
  select version into v_version from monitoring.policy_state for update;
  if v_version <> (p ->> 'version')::bigint then
    raise exception 'another tick of the alert policy decided meanwhile (version %, expected %)',
      v_version, p ->> 'version' using errcode = 'serialization_failure';
  end if;
  update monitoring.policy_state set version = version + 1;

  insert into public.channel_state as s (alert_config_id, status, reason, last_failure_at)
  select c.id, 'dead', d.reason, now()
  from jsonb_to_recordset(coalesce(p -> 'dead', '[]')) as d(alert_config_id uuid, reason text)
  join public.alert_config c on c.id = d.alert_config_id
  on conflict (alert_config_id) do update
  set status = 'dead', reason = excluded.reason, last_failure_at = now(),
      since = case when s.status = 'dead' then s.since else now() end;

  insert into public.incidents
    (id, project_name, subject_kind, subject_id, code, severity, summary, detail, job_inventory_id, opened_at)
  select o.id, o.project_name, o.subject_kind, o.subject_id, o.code, o.severity, o.summary, coalesce(o.detail, '{}'),
         o.job_inventory_id, v_now
  from jsonb_to_recordset(coalesce(p -> 'open', '[]')) as o(
         id uuid, project_name text, subject_kind text, subject_id text, code text, severity text, summary text,
         detail jsonb, job_inventory_id uuid)
  on conflict (subject_kind, subject_id, code) where resolved_at is null do nothing;
  get diagnostics v_opened = row_count;

  update public.incidents i
  set resolved_at = greatest(v_now, i.opened_at), resolution = 'recovered'
  where i.id in (select value::uuid from jsonb_array_elements_text(coalesce(p -> 'resolve', '[]')))
    and i.resolved_at is null;
  get diagnostics v_resolved = row_count;

  -- what somebody sends at this moment, or has meanwhile, is left as it is
  with named as (
    select (value ->> 'id')::uuid as id from jsonb_array_elements(coalesce(p -> 'settle', '[]'))
    union
    select needed::uuid
    from jsonb_array_elements(coalesce(p -> 'settle', '[]') || coalesce(p -> 'create', '[]')) as one,
         jsonb_array_elements_text(coalesce(one -> 'needs', '[]')) as needed
    union
    select (value ->> 'delivery_id')::uuid from jsonb_array_elements(coalesce(p -> 'remove', '[]'))
    union
    select (value ->> 'id')::uuid from jsonb_array_elements(coalesce(p -> 'follow', '[]'))
  ), free as (
    select d.id
    from public.alert_deliveries d
    where d.id in (select id from named)
      and ((d.state = 'due' and d.uncertain_attempts = 0 and (d.leased_until is null or d.leased_until <= now()))
        or (d.state = 'failed' and d.followed_at is null))
      -- of a message in parts some may have arrived
      and (d.state = 'failed' or d.rendered is null or not d.rendered ? 'progress')
    order by d.id
    for update of d skip locked
  )
  select coalesce(array_agg(id), '{}') into v_free from free;

  with wanted as materialized (
    select w.*, c.channel
    from jsonb_to_recordset(coalesce(p -> 'create', '[]')) as w(
           id uuid, alert_config_id uuid, event text, note text, created_at timestamptz, admitted boolean,
           held_reason text, cancelled text, while_open boolean, unacknowledged boolean, incidents uuid[], needs uuid[])
    join public.alert_config c on c.id = w.alert_config_id
    where w.needs <@ v_free
  ), lines as materialized (
    select w.id as delivery_id, i.id as incident_id
    from wanted w
    join public.incidents i on i.id = any (w.incidents)
    where (not w.while_open or i.resolved_at is null) and (not w.unacknowledged or i.acknowledged_at is null)
  ), created as (
    insert into public.alert_deliveries
      (id, alert_config_id, channel, event, state, note, last_error, created_at, admitted_at, held_reason, settled_at)
    select w.id, w.alert_config_id, w.channel, w.event, case when w.cancelled is null then 'due' else 'cancelled' end,
           w.note, w.cancelled, coalesce(w.created_at, now()), case when w.admitted then v_now end, w.held_reason,
           case when w.cancelled is not null then now() end
    from wanted w
    where exists (select from lines l where l.delivery_id = w.id)
    returning id
  ), told as (
    insert into public.delivery_incidents (delivery_id, incident_id)
    select delivery_id, incident_id from lines
  )
  select coalesce(array_agg(id), '{}') into v_created from created;

  with removed as (
    delete from public.delivery_incidents t
    using jsonb_to_recordset(coalesce(p -> 'remove', '[]')) as r(delivery_id uuid, incident_id uuid, "into" uuid)
    where t.delivery_id = r.delivery_id and t.incident_id = r.incident_id
      and r.delivery_id = any (v_free) and r."into" = any (v_created)
    returning t.delivery_id
  )
  update public.alert_deliveries
  set rendered = null
  where id in (select delivery_id from removed) and rendered is not null;

  update public.alert_deliveries d
  set state = case s.fate when 'cancel' then 'cancelled' else d.state end,
      settled_at = case s.fate when 'cancel' then now() else d.settled_at end,
      last_error = case s.fate when 'cancel' then s.reason else d.last_error end,
      admitted_at = case s.fate when 'admit' then v_now when 'hold' then null else d.admitted_at end,
      held_reason = case s.fate when 'hold' then s.reason end
  from jsonb_to_recordset(coalesce(p -> 'settle', '[]')) as s(id uuid, fate text, reason text, "into" uuid, needs uuid[])
  where d.id = s.id and d.state = 'due' and d.id = any (v_free) and (s."into" is null or s."into" = any (v_created))
    and coalesce(s.needs, '{}') <@ v_free;
  get diagnostics v_settled = row_count;

  update public.alert_deliveries d
  set followed_at = now()
  from jsonb_to_recordset(coalesce(p -> 'follow', '[]')) as f(id uuid, "into" uuid)
  where d.id = f.id and d.id = any (v_free) and (f."into" is null or f."into" = any (v_created));

  return jsonb_build_object('created', cardinality(v_created), 'settled', v_settled, 'opened', v_opened, 'resolved', v_resolved);
end
$$;
comment on function monitoring.apply_policy(jsonb) is
  'Writes one tick''s decisions in one transaction. Raises serialization_failure when another tick decided meanwhile; passes over deliveries that are being sent.';

-- --- what people do about incidents ---

create function monitoring.existing_incident(p_id uuid, p_doing text) returns public.incidents
language plpgsql
set search_path = ''
as $$
declare
  v_incident public.incidents;
begin
  select * into v_incident from public.incidents where id = p_id for update;
  if not found then
    raise exception 'cannot % incident "%": there is no such incident', p_doing, coalesce(p_id::text, 'null')
      using errcode = 'no_data_found';
  end if;
  return v_incident;
end
$$;
comment on function monitoring.existing_incident(uuid, text) is 'An incident, locked; raises where there is none.';

create function monitoring.acknowledge_incident(p_id uuid, p_by text, p_note text default null) returns boolean
language plpgsql
set search_path = ''
as $$
begin
  perform monitoring.existing_incident(p_id, 'acknowledge');
  update public.incidents
  set acknowledged_at = now(), acknowledged_by = p_by, acknowledgement_note = p_note
  where id = p_id and acknowledged_at is null and resolved_at is null;
  return found;
end
$$;
comment on function monitoring.acknowledge_incident(uuid, text, text) is
  'Somebody takes an incident on: no more reminders, no escalation; its end is told all the same. False where it is over or was taken on before.';

create function monitoring.mark_false_alarm(p_id uuid, p_by text) returns boolean
language plpgsql
set search_path = ''
as $$
begin
  perform monitoring.existing_incident(p_id, 'mark as a false alarm');
  update public.incidents
  set false_alarm_at = now(), false_alarm_by = p_by,
      acknowledged_at = case when resolved_at is null then coalesce(acknowledged_at, now()) else acknowledged_at end,
      acknowledged_by = case when resolved_at is null then coalesce(acknowledged_by, p_by) else acknowledged_by end
  where id = p_id and false_alarm_at is null;
  return found;
end
$$;
comment on function monitoring.mark_false_alarm(uuid, text) is
  'Somebody says that nothing was wrong; acknowledges an incident that lasts. Kept, and counted in the view false_alarms. False where it was said before.';

create function monitoring.resolve_incident(p_id uuid, p_by text) returns boolean
language plpgsql
set search_path = ''
as $$
begin
  perform monitoring.existing_incident(p_id, 'resolve');
  update public.incidents
  set resolved_at = now(), resolution = 'by hand', resolved_by = p_by
  where id = p_id and resolved_at is null;
  if not found then
    return false;
  end if;
  -- whoever was told of it hears that it is closed; the policy lets it through like any other
  with told as (
    select distinct c.id, c.channel
    from public.delivery_incidents t
    join public.alert_deliveries d on d.id = t.delivery_id and d.event <> 'resolved' and d.state in ('due', 'sent')
    join public.alert_config c on c.id = d.alert_config_id and 'resolved' = any (c.events)
    where t.incident_id = p_id
  ), owed as (
    insert into public.alert_deliveries (alert_config_id, channel, event, admitted_at)
    select id, channel, 'resolved', null from told
    returning id
  )
  insert into public.delivery_incidents (delivery_id, incident_id)
  select id, p_id from owed;
  return true;
end
$$;
comment on function monitoring.resolve_incident(uuid, text) is
  'Closes an incident by hand and tells whoever was told of it. What still holds at the next check opens again. False where it was over.';

create function monitoring.silence(
  p_project text, p_job_pattern text, p_until timestamptz, p_by text, p_reason text
) returns uuid
language sql
set search_path = ''
as $$
  insert into public.silences (project_name, job_pattern, ends_at, created_by, reason)
  values (p_project, coalesce(p_job_pattern, '*'), p_until, p_by, p_reason)
  returning id
$$;
comment on function monitoring.silence(text, text, timestamptz, text, text) is
  'Silences jobs (NULL: every project; NULL or *: every job) from now until then. Answers the silence''s id.';

create function monitoring.silence_on_schedule(
  p_project text, p_job_pattern text, p_schedule text, p_duration_minutes integer, p_by text, p_reason text,
  p_time_zone text default 'UTC', p_until timestamptz default null
) returns uuid
language sql
set search_path = ''
as $$
  insert into public.silences
    (project_name, job_pattern, schedule, duration_minutes, time_zone, ends_at, created_by, reason)
  values (p_project, coalesce(p_job_pattern, '*'), p_schedule, p_duration_minutes, coalesce(p_time_zone, 'UTC'), p_until,
          p_by, p_reason)
  returning id
$$;
comment on function monitoring.silence_on_schedule(text, text, text, integer, text, text, text, timestamptz) is
  'Silences jobs again and again, by a cron schedule (usual cron rules, five fields) for so many minutes each. Answers the silence''s id.';

create function monitoring.silence_incident(p_id uuid, p_until timestamptz, p_by text, p_reason text) returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_incident public.incidents := monitoring.existing_incident(p_id, 'silence');
  v_job text := (select job_name from public.job_inventory where id = v_incident.job_inventory_id);
begin
  return monitoring.silence(
    v_incident.project_name, case when v_job is null then '*' else regexp_replace(v_job, '[\\*?]', '\\\&', 'g') end,
    p_until, p_by, p_reason);
end
$$;
comment on function monitoring.silence_incident(uuid, timestamptz, text, text) is
  'Silences the job of an incident; where it is about no job, everything of its project. Answers the silence''s id.';

create function monitoring.end_silence(p_id uuid, p_by text) returns boolean
language plpgsql
set search_path = ''
as $$
begin
  if not exists (select from public.silences where id = p_id) then
    raise exception 'cannot end silence "%": there is no such silence', coalesce(p_id::text, 'null')
      using errcode = 'no_data_found';
  end if;
  update public.silences
  set ends_at = now(), ended_by = p_by
  where id = p_id and (ends_at is null or ends_at > now());
  return found;
end
$$;
comment on function monitoring.end_silence(uuid, text) is 'Ends a silence now: what still holds is told. False where it had ended.';

create view public.incident_overview with (security_invoker = true) as
select i.id, i.project_name, coalesce(j.job_name, i.subject_id) as subject, i.subject_kind, i.code, i.severity, i.summary,
       i.opened_at, i.resolved_at, i.resolution, i.acknowledged_at, i.acknowledged_by, i.acknowledgement_note,
       i.false_alarm_at, i.false_alarm_by, i.resolved_by, j.owner, j.runbook_url,
       (select array_agg(distinct coalesce(c.name, c.channel))
        from public.delivery_incidents t
        join public.alert_deliveries d on d.id = t.delivery_id and d.state = 'sent'
        join public.alert_config c on c.id = d.alert_config_id
        where t.incident_id = i.id) as told_through,
       (select string_agg(distinct d.held_reason, '; ')
        from public.delivery_incidents t
        join public.alert_deliveries d on d.id = t.delivery_id and d.state = 'due'
        where t.incident_id = i.id) as waits_for
from public.incidents i
left join public.job_inventory j on j.id = i.job_inventory_id;
comment on view public.incident_overview is 'Incidents as people want to see them: what of, who took it on, who was told, and what its alerts wait for.';

create view public.false_alarms with (security_invoker = true) as
select i.project_name, coalesce(j.job_name, i.subject_id) as subject, i.code,
       count(*) as incidents,
       count(i.false_alarm_at) as false_alarms,
       round(count(i.false_alarm_at)::numeric / count(*), 3) as rate
from public.incidents i
left join public.job_inventory j on j.id = i.job_inventory_id
where i.severity <> 'info' and i.opened_at > now() - interval '90 days'
group by i.project_name, coalesce(j.job_name, i.subject_id), i.code;
comment on view public.false_alarms is 'Of the incidents of the last 90 days, how many were false alarms, by job and condition. rate is 0 to 1.';

-- --- retention ---

create index alert_deliveries_settled on public.alert_deliveries (settled_at) where state in ('sent', 'failed', 'cancelled');

create function monitoring.purge_alerts() returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_delivery_days integer := coalesce((select value::integer from public.app_settings where key = 'delivery_days'), 90);
  v_silence_days integer := coalesce((select value::integer from public.app_settings where key = 'silence_days'), 90);
  v_incident_days integer := coalesce((select value::integer from public.app_settings where key = 'incident_days'), 400);
  v_most constant integer := 50000;
  v_deliveries integer;
  v_silences integer;
  v_incidents integer;
begin
  -- what an open incident was told decides what it is owed
  delete from public.alert_deliveries where id in (
    select d.id from public.alert_deliveries d
    where d.state in ('sent', 'failed', 'cancelled')
      and d.settled_at < now() - make_interval(days => v_delivery_days)
      and not exists (
        select from public.delivery_incidents t
        join public.incidents i on i.id = t.incident_id
        where t.delivery_id = d.id and i.resolved_at is null)
    order by d.settled_at limit v_most for update of d skip locked);
  get diagnostics v_deliveries = row_count;

  delete from public.silences where ends_at < now() - make_interval(days => v_silence_days);
  get diagnostics v_silences = row_count;

  -- one of which something is still owed stays until that is settled
  delete from public.incidents where id in (
    select i.id from public.incidents i
    where i.resolved_at < now() - make_interval(days => v_incident_days)
      and not exists (
        select from public.delivery_incidents t
        join public.alert_deliveries d on d.id = t.delivery_id
        where t.incident_id = i.id and d.state in ('due', 'unroutable'))
    order by i.resolved_at limit v_most for update of i skip locked);
  get diagnostics v_incidents = row_count;

  return jsonb_build_object(
    'deliveries_deleted', v_deliveries, 'silences_deleted', v_silences, 'incidents_deleted', v_incidents);
end
$$;
comment on function monitoring.purge_alerts() is
  'Deletes, 50,000 a table at most, settled deliveries after app_settings.delivery_days, silences silence_days after their end, and resolved incidents after incident_days. Never an open incident, nor what it was told. purge() calls it daily.';

-- --- nobody but the owner ---

alter table public.silences enable row level security;
alter table public.channel_state enable row level security;
alter table monitoring.policy_state enable row level security;
revoke all on table public.silences, public.channel_state, public.incident_overview, public.false_alarms,
  monitoring.policy_state from public, anon, authenticated;
revoke execute on all functions in schema monitoring from public;
