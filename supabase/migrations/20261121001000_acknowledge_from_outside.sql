-- What people do about incidents outside of the hub: presses of Telegram's buttons, and PagerDuty's acknowledgements in
-- both directions. An acknowledgement goes to PagerDuty through the outbox like every other message.

alter table public.incidents
  add column acknowledged_in uuid references public.alert_config (id) on delete set null,
  add column unacknowledged_at timestamptz;
comment on column public.incidents.acknowledged_in is
  'The row of alert_config whose vendor said that somebody took the incident on, and which may take that back.';
comment on column public.incidents.unacknowledged_at is
  'When its vendor took an acknowledgement back. What it said before counts no more.';
create index incidents_acknowledged_in on public.incidents (acknowledged_in) where acknowledged_in is not null;

alter table public.alert_deliveries
  drop constraint "event is opened, reminder, resolved or test",
  add constraint "event is opened, reminder, acknowledged, resolved or test" check (
    event in ('opened', 'reminder', 'acknowledged', 'resolved', 'test')
  );
create index alert_deliveries_provider on public.alert_deliveries (provider_id) where channel = 'pagerduty';

create or replace function monitoring.delivery_rank(p_event text) returns integer
language sql
immutable
set search_path = ''
as $$
  select array_position(array['opened', 'reminder', 'acknowledged', 'resolved', 'test'], p_event)
$$;

-- an acknowledgement for which nothing had to be sent says nothing of its channel
drop trigger alert_deliveries_channel_state on public.alert_deliveries;
create trigger alert_deliveries_channel_state after update of state on public.alert_deliveries
  for each row
  when (
    old.state = 'due' and new.state in ('sent', 'failed') and new.alert_config_id is not null
    and not (new.event = 'acknowledged' and new.state = 'sent' and new.provider_id is null)
  )
  execute function monitoring.follow_delivery();

create or replace function monitoring.delivery_threads_json(p_delivery_id uuid) returns jsonb
language sql
stable
set search_path = ''
as $$
  with told as (
    select o.id, o.provider_id, o.created_at
    from public.alert_deliveries d
    join public.alert_deliveries o on o.alert_config_id = d.alert_config_id
    where d.id = p_delivery_id
      and o.state = 'sent'
      and o.event not in ('resolved', 'acknowledged')
      and o.provider_id is not null
      and o.id in (
        select theirs.delivery_id
        from public.delivery_incidents mine
        join public.delivery_incidents theirs on theirs.incident_id = mine.incident_id
        where mine.delivery_id = p_delivery_id and theirs.delivery_id <> p_delivery_id)
  ), threads as (
    select told.provider_id, min(told.created_at) as since, bool_and(i.resolved_at is not null) as over,
           bool_and(i.resolved_at is not null or i.acknowledged_at is not null) as acknowledged
    from told
    join public.delivery_incidents t on t.delivery_id = told.id
    join public.incidents i on i.id = t.incident_id
    group by told.provider_id
  )
  select coalesce(
    jsonb_agg(
      jsonb_build_object('providerId', provider_id, 'over', over, 'acknowledged', acknowledged)
      order by since, provider_id), '[]')
  from threads
$$;
comment on function monitoring.delivery_threads_json(uuid) is
  'What the same row of alert_config was told before of the incidents of a delivery, by the vendor''s id, and whether all that this told of is over, or taken on.';

-- --- our acknowledgements go to PagerDuty ---

create function monitoring.owe_acknowledgement(p_alert_config_id uuid, p_incidents uuid[]) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_delivery uuid;
begin
  -- one that nobody has begun to send can tell of these as well: an alert of many incidents is acknowledged once
  select d.id into v_delivery
  from public.alert_deliveries d
  where d.alert_config_id = p_alert_config_id and d.event = 'acknowledged' and d.state = 'due' and d.attempts = 0
  order by d.id
  limit 1
  for update skip locked;
  if found then
    -- as young as what it tells of, or it would be sent before that
    update public.alert_deliveries set created_at = now() where id = v_delivery;
  else
    insert into public.alert_deliveries (alert_config_id, channel, event, admitted_at)
    select c.id, c.channel, 'acknowledged', now() from public.alert_config c where c.id = p_alert_config_id
    returning id into v_delivery;
  end if;
  insert into public.delivery_incidents (delivery_id, incident_id)
  select v_delivery, unnest(p_incidents)
  on conflict do nothing;
end
$$;
comment on function monitoring.owe_acknowledgement(uuid, uuid[]) is
  'Puts into the outbox that somebody has taken incidents on. The policy has no say in it: it is no message to anybody.';

create function monitoring.tell_acknowledgements() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  v_row record;
begin
  if not exists (
    select from after a join before b on b.id = a.id where b.acknowledged_at is null and a.acknowledged_at is not null
  ) then
    return null;
  end if;
  for v_row in
    with told as (
      select distinct a.id as incident_id, a.acknowledged_in, d.alert_config_id
      from after a
      join before b on b.id = a.id
      join public.delivery_incidents t on t.incident_id = a.id
      join public.alert_deliveries d on d.id = t.delivery_id
      join public.alert_config c on c.id = d.alert_config_id
      where b.acknowledged_at is null and a.acknowledged_at is not null and a.resolved_at is null
        and c.channel = 'pagerduty' and c.enabled and d.channel = c.channel
        and d.event in ('opened', 'reminder') and d.state in ('due', 'sent')
    ), counted as (
      select told.*, count(*) over (partition by incident_id) as rows from told
    )
    select alert_config_id, array_agg(incident_id) as incidents
    from counted
    -- services that were told under one key cannot be told apart; hearing it back changes nothing
    where alert_config_id is distinct from acknowledged_in or rows > 1
    group by alert_config_id
    order by alert_config_id
  loop
    perform monitoring.owe_acknowledgement(v_row.alert_config_id, v_row.incidents);
  end loop;
  return null;
end
$$;
comment on function monitoring.tell_acknowledgements() is
  'Trigger: whoever acknowledges an incident, and however, PagerDuty hears of it where it was told of the incident.';
create trigger incidents_tell_acknowledgements after update on public.incidents
  referencing old table as before new table as after
  for each statement
  execute function monitoring.tell_acknowledgements();

-- --- PagerDuty's acknowledgements come in ---

create function monitoring.pagerduty_incidents(p_key text) returns table (incident_id uuid, alert_config_id uuid)
language sql
stable
set search_path = ''
as $$
  -- an alert on its way has no provider_id yet, but PagerDuty may have it
  select distinct on (t.incident_id) t.incident_id, d.alert_config_id
  from public.alert_deliveries d
  join public.delivery_incidents t on t.delivery_id = d.id
  where d.channel = 'pagerduty' and d.event in ('opened', 'reminder')
    and (d.provider_id = p_key or (d.state = 'due' and d.rendered -> 'body' -> 'dedup_keys' ? p_key))
  order by t.incident_id, d.created_at
$$;
comment on function monitoring.pagerduty_incidents(text) is
  'Which incidents an alert of PagerDuty tells of, by the key that it was opened with, and which row of alert_config opened it.';

create function monitoring.follow_pagerduty(p_key text, p_event text, p_by text, p_at timestamptz) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_known integer;
  v_changed integer := 0;
  v_at timestamptz := least(p_at, now());
begin
  if p_event is null or p_event not in ('acknowledged', 'unacknowledged', 'resolved') then
    raise exception 'cannot follow PagerDuty: "%" is not acknowledged, unacknowledged or resolved', coalesce(p_event, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  -- in the order in which everybody locks incidents
  perform from public.incidents i
  where i.id in (select incident_id from monitoring.pagerduty_incidents(p_key))
  order by i.id
  for update;
  get diagnostics v_known = row_count;
  if p_event = 'acknowledged' then
    update public.incidents i
    set acknowledged_at = greatest(v_at, i.opened_at), acknowledged_by = p_by, acknowledgement_note = 'in PagerDuty',
        acknowledged_in = k.alert_config_id
    from monitoring.pagerduty_incidents(p_key) as k
    where i.id = k.incident_id and i.acknowledged_at is null and i.resolved_at is null
      and (i.unacknowledged_at is null or i.unacknowledged_at < v_at);
    get diagnostics v_changed = row_count;
  elsif p_event = 'unacknowledged' then
    update public.incidents i
    set acknowledged_at = case when i.acknowledged_in = k.alert_config_id then null else i.acknowledged_at end,
        acknowledged_by = case when i.acknowledged_in = k.alert_config_id then null else i.acknowledged_by end,
        acknowledgement_note = case when i.acknowledged_in = k.alert_config_id then null else i.acknowledgement_note end,
        acknowledged_in = null,
        unacknowledged_at = v_at
    from monitoring.pagerduty_incidents(p_key) as k
    where i.id = k.incident_id and i.resolved_at is null
      and (i.acknowledged_in = k.alert_config_id or i.acknowledged_at is null)
      and (i.acknowledged_at is null or i.acknowledged_at <= v_at)
      and (i.unacknowledged_at is null or i.unacknowledged_at < v_at);
    get diagnostics v_changed = row_count;
  end if;
  return jsonb_build_object('incidents', v_known, 'changed', v_changed);
end
$$;
comment on function monitoring.follow_pagerduty(text, text, text, timestamptz) is
  'What somebody did in PagerDuty about an alert. acknowledged: its open incidents are. unacknowledged: those that PagerDuty acknowledged are not any more, so reminders and escalation go on. resolved: nothing, only the job''s own recovery ends an incident. Answers how many incidents the alert tells of, and how many changed.';

-- --- presses of Telegram's buttons ---

create function monitoring.pressed_delivery(p_id uuid) returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'alertConfigId', c.id,
    'target', monitoring.alert_target_json(c),
    -- where the group has become a supergroup meanwhile
    'sentTo', d.rendered -> 'body' ->> 'chat_id')
  from public.alert_deliveries d
  join public.alert_config c on c.id = d.alert_config_id and c.channel = d.channel
  where d.id = p_id and c.enabled and c.channel = 'telegram'
$$;
comment on function monitoring.pressed_delivery(uuid) is
  'Where a message with buttons was sent to, as written; NULL where no enabled row of alert_config sent it.';

create function monitoring.incident_scopes(p_incidents uuid[])
returns table (project_name text, job_pattern text, silenced_until timestamptz)
language sql
stable
set search_path = ''
as $$
  with scopes as (
    select distinct i.project_name,
           case when j.job_name is null then '*' else regexp_replace(j.job_name, '[\\*?]', '\\\&', 'g') end as job_pattern
    from public.incidents i
    left join public.job_inventory j on j.id = i.job_inventory_id
    where i.id = any (p_incidents) and i.resolved_at is null
  )
  select s.project_name, s.job_pattern, (
    select max(x.ends_at) from public.silences x
    where x.project_name = s.project_name and x.job_pattern in (s.job_pattern, '*') and x.schedule is null
      and x.starts_at <= now() and x.ends_at > now())
  from scopes s
$$;
comment on function monitoring.incident_scopes(uuid[]) is
  'What a silence of open incidents is about, as silence_incident() has it: each job, or its whole project where an incident is about no job; and until when that is silenced already.';

create function monitoring.press_button(p_delivery_id uuid, p_action text, p_by text, p_press_id text) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_minutes integer := case p_action when 'silence_hour' then 60 when 'silence_day' then 1440 end;
  v_until timestamptz := now() + make_interval(mins => v_minutes);
  v_incidents uuid[];
  v_changed integer := 0;
  v_state jsonb;
begin
  if p_action is null or p_action not in ('acknowledge', 'silence_hour', 'silence_day', 'false_alarm', 'look') then
    raise exception 'cannot press "%": there is no such button', coalesce(p_action, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  -- in the order in which everybody locks incidents
  select coalesce(array_agg(id), '{}') into v_incidents
  from (
    select i.id from public.delivery_incidents t join public.incidents i on i.id = t.incident_id
    where t.delivery_id = p_delivery_id
    order by i.id
    for update of i
  ) as locked;
  if p_action = 'acknowledge' then
    select count(*) filter (where monitoring.acknowledge_incident(id, p_by, 'in Telegram')) into v_changed
    from unnest(v_incidents) as id;
  elsif p_action = 'false_alarm' then
    select count(*) filter (where monitoring.mark_false_alarm(id, p_by)) into v_changed
    from unnest(v_incidents) as id;
  elsif v_minutes is not null then
    insert into public.silences (id, project_name, job_pattern, ends_at, created_by, reason)
    -- the id makes a press that is told twice one silence
    select md5(concat_ws('/', p_press_id, s.project_name, s.job_pattern))::uuid, s.project_name, s.job_pattern, v_until,
           p_by, 'pressed in Telegram'
    from monitoring.incident_scopes(v_incidents) as s
    -- so does this of a button that is pressed twice
    where s.silenced_until is null or s.silenced_until < v_until - interval '1 minute'
    on conflict (id) do nothing;
    get diagnostics v_changed = row_count;
  end if;
  select jsonb_build_object(
    'incidents', count(*),
    'open', count(*) filter (where resolved_at is null),
    'changed', v_changed,
    'acknowledged', count(*) filter (where resolved_at is null and acknowledged_at is not null),
    'acknowledgedBy', to_jsonb(coalesce(
      array_agg(distinct acknowledged_by) filter (where resolved_at is null and acknowledged_at is not null), '{}')),
    'falseAlarms', count(*) filter (where false_alarm_at is not null),
    'falseAlarmBy', to_jsonb(coalesce(array_agg(distinct false_alarm_by) filter (where false_alarm_at is not null), '{}')),
    'silencedUntil', (
      select case when bool_and(s.silenced_until is not null) then monitoring.epoch_ms(min(s.silenced_until)) end
      from monitoring.incident_scopes(v_incidents) as s),
    'endedAt', case when bool_and(resolved_at is not null) then monitoring.epoch_ms(max(resolved_at)) end)
  into v_state
  from public.incidents
  where id = any (v_incidents);
  return v_state;
end
$$;
comment on function monitoring.press_button(uuid, text, text, text) is
  'What somebody pressed under a message: acknowledge, silence_hour, silence_day, false_alarm, or look, which changes nothing; for all incidents of the message. Again with the same press id: nothing more. Answers how the incidents are now; changed counts what this press did.';

revoke execute on all functions in schema monitoring from public;
