-- How the outbox is emptied: claim with a lease, store what was rendered, settle. TypeScript renders and sends.
-- At least once: whoever dies between claiming and settling leaves a lease that runs out, and the delivery is claimed
-- again. Nothing is marked sent before the vendor said so.

create function monitoring.incident_json(p_incident_id uuid) returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'id', i.id,
    'projectName', i.project_name,
    'projectId', coalesce(j.project_id, p.project_ref, (
      select other.project_id from public.job_inventory other
      where other.project_name = i.project_name and other.project_id is not null limit 1)),
    'subjectKind', i.subject_kind,
    'subjectId', i.subject_id,
    'code', i.code,
    'severity', i.severity,
    'summary', i.summary,
    'detail', i.detail,
    'openedAt', i.opened_at,
    'resolvedAt', i.resolved_at,
    'resolution', i.resolution,
    'job', case when j.id is not null then jsonb_build_object(
      'jobType', j.job_type,
      'jobName', j.job_name,
      'jobUser', j.job_user,
      'schedule', j.schedule,
      'description', j.description,
      'successCriteria', j.success_criteria,
      'criticality', j.criticality,
      'owner', j.owner,
      'runbookUrl', j.runbook_url) end)
  from public.incidents i
  left join public.job_inventory j on j.id = i.job_inventory_id
  left join public.monitored_projects p on p.name = i.project_name
  where i.id = p_incident_id
$$;
comment on function monitoring.incident_json(uuid) is 'An incident with its job, as alerts tell of it.';

create function monitoring.delivery_incidents_json(p_delivery_id uuid) returns jsonb
language sql
stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(monitoring.incident_json(i.id) order by i.opened_at, i.id), '[]')
  from public.delivery_incidents d
  join public.incidents i on i.id = d.incident_id
  where d.delivery_id = p_delivery_id
$$;
comment on function monitoring.delivery_incidents_json(uuid) is 'The incidents that a delivery tells of.';

create function monitoring.delivery_rank(p_event text) returns integer
language sql
immutable
set search_path = ''
as $$
  select array_position(array['opened', 'reminder', 'resolved', 'test'], p_event)
$$;
comment on function monitoring.delivery_rank(text) is 'Order of the events of one incident that were owed at the same instant.';

create function monitoring.claim_deliveries(p_limit integer, p_lease_seconds integer, p_except uuid[] default '{}')
returns setof jsonb
language sql
set search_path = ''
as $$
  with due as materialized (
    select d.id, d.alert_config_id, d.event, d.created_at
    from public.alert_deliveries d
    join public.alert_config c on c.id = d.alert_config_id and c.channel = d.channel and c.enabled
    where d.state = 'due' and d.alert_config_id <> all (p_except)
  ), placed as (
    -- nobody hears that an incident is over before hearing that it began
    select due.id, row_number() over (
      partition by due.alert_config_id, coalesce(t.incident_id, due.id)
      order by due.created_at, monitoring.delivery_rank(due.event), due.id) as place
    from due
    left join public.delivery_incidents t on t.delivery_id = due.id
  ), first_of_all as materialized (
    select placed.id from placed group by placed.id having max(placed.place) = 1
  ), picked as (
    select d.id
    from first_of_all f
    join public.alert_deliveries d on d.id = f.id
    where d.state = 'due'
      and d.next_attempt_at <= now()
      and (d.leased_until is null or d.leased_until <= now())
    order by d.created_at, d.id
    limit p_limit
    for update of d skip locked
  ), claimed as (
    update public.alert_deliveries d
    set attempts = d.attempts + 1,
        lease_token = gen_random_uuid(),
        leased_until = now() + make_interval(secs => p_lease_seconds)
    from picked
    where d.id = picked.id
    returning d.*
  )
  select jsonb_build_object(
    'id', d.id,
    'leaseToken', d.lease_token,
    'attempts', d.attempts,
    'alertConfigId', d.alert_config_id,
    'channel', d.channel,
    'event', d.event,
    'target', jsonb_build_object('webhookUrl', c.webhook_url, 'botToken', c.bot_token, 'chatId', c.chat_id),
    'rendered', d.rendered,
    'incidents', monitoring.delivery_incidents_json(d.id))
  from claimed d
  join public.alert_config c on c.id = d.alert_config_id
  order by d.created_at, monitoring.delivery_rank(d.event), d.id
$$;
comment on function monitoring.claim_deliveries(integer, integer, uuid[]) is
  'Leases deliveries that are due, oldest first, and counts the attempt. Per incident and row of alert_config in order: a later one waits while an earlier one is due. Never those of the rows in p_except.';

create function monitoring.store_rendered(p_id uuid, p_lease_token uuid, p_rendered jsonb) returns boolean
language sql
set search_path = ''
as $$
  with stored as (
    update public.alert_deliveries
    set rendered = p_rendered
    where id = p_id and lease_token = p_lease_token and state = 'due'
    returning 1
  )
  select exists (select from stored)
$$;
comment on function monitoring.store_rendered(uuid, uuid, jsonb) is
  'Keeps what is about to be sent, so that a retry sends the same. False when the lease is another''s by now.';

create function monitoring.settle_delivery(p_id uuid, p_lease_token uuid, p_outcome jsonb) returns boolean
language sql
set search_path = ''
as $$
  with settled as (
    update public.alert_deliveries d
    set state = case p_outcome ->> 'kind' when 'sent' then 'sent' when 'permanent' then 'failed' else 'due' end,
        sent_at = case when p_outcome ->> 'kind' = 'sent' then now() end,
        settled_at = case when p_outcome ->> 'kind' in ('sent', 'permanent') then now() end,
        provider_id = p_outcome ->> 'provider_id',
        -- an attempt that was never made is not counted, nor does it hide the error of one that was
        attempts = d.attempts - case when p_outcome ->> 'kind' = 'release' then 1 else 0 end,
        last_error = case when p_outcome ->> 'kind' = 'release' then d.last_error else p_outcome ->> 'error' end,
        next_attempt_at = case
          when p_outcome ->> 'kind' = 'retry'
            then now() + make_interval(secs => (p_outcome ->> 'delay_ms')::double precision / 1000)
          else d.next_attempt_at end,
        lease_token = null,
        leased_until = null
    where d.id = p_id
      and d.lease_token = p_lease_token
      and d.state = 'due'
      and p_outcome ->> 'kind' in ('sent', 'retry', 'permanent', 'release')
    returning 1
  )
  select exists (select from settled)
$$;
comment on function monitoring.settle_delivery(uuid, uuid, jsonb) is
  'Ends an attempt: {"kind": "sent", "provider_id"}, {"kind": "retry", "error", "delay_ms"}, {"kind": "permanent", "error"} or {"kind": "release"}. False when the lease is another''s by now.';

create function monitoring.mark_unroutable() returns integer
language sql
set search_path = ''
as $$
  with marked as (
    update public.alert_deliveries d
    set state = 'unroutable',
        last_error = case
          when d.alert_config_id is null then 'Its row of alert_config was deleted'
          when exists (select from public.alert_config c where c.id = d.alert_config_id and not c.enabled)
            then 'Its row of alert_config is disabled'
          else 'Its row of alert_config is of another channel now' end,
        lease_token = null,
        leased_until = null
    where d.state = 'due'
      and (d.leased_until is null or d.leased_until <= now())
      and not exists (
        select from public.alert_config c
        where c.id = d.alert_config_id and c.channel = d.channel and c.enabled)
    returning 1
  )
  select count(*)::integer from marked
$$;
comment on function monitoring.mark_unroutable() is
  'Marks what is due to a row of alert_config that was deleted, disabled or changed to another channel.';

create function monitoring.same_news(p_delivery_id uuid) returns setof uuid
language sql
stable
set search_path = ''
as $$
  select distinct other.id
  from public.alert_deliveries d
  join public.delivery_incidents mine on mine.delivery_id = d.id
  join public.delivery_incidents theirs on theirs.incident_id = mine.incident_id
  join public.alert_deliveries other on other.id = theirs.delivery_id
  where d.id = p_delivery_id
    and other.id <> d.id
    and other.event = d.event
    and other.state <> 'cancelled'
    and other.created_at >= d.created_at
$$;
comment on function monitoring.same_news(uuid) is
  'Other deliveries of the same event of the same incidents, owed at the same time or later.';

create function monitoring.unroutable_deliveries(p_limit integer) returns setof jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'id', d.id,
    'channel', d.channel,
    'event', d.event,
    'lastError', d.last_error,
    'alertChannel', (
      select j.alert_channel
      from public.delivery_incidents t
      join public.incidents i on i.id = t.incident_id
      join public.job_inventory j on j.id = i.job_inventory_id
      where t.delivery_id = d.id and j.alert_channel is not null
      order by i.opened_at, i.id limit 1),
    'incidents', monitoring.delivery_incidents_json(d.id),
    'toldBefore', exists (
      select from public.delivery_incidents mine
      join public.delivery_incidents theirs on theirs.incident_id = mine.incident_id
      join public.alert_deliveries told on told.id = theirs.delivery_id
      where mine.delivery_id = d.id and told.state = 'sent' and told.event <> 'resolved'),
    'covered', (
      select coalesce(jsonb_agg(distinct jsonb_build_object(
        'alertConfigId', other.alert_config_id, 'state', other.state)), '[]')
      from monitoring.same_news(d.id) as other_id
      join public.alert_deliveries other on other.id = other_id
      where other.alert_config_id is not null))
  from public.alert_deliveries d
  where d.state = 'unroutable'
  order by d.created_at, d.id
  limit p_limit
$$;
comment on function monitoring.unroutable_deliveries(integer) is 'Deliveries that no row of alert_config took, with what decides where they go.';

create function monitoring.route_delivery(p_id uuid, p_alert_config_ids uuid[]) returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_delivery public.alert_deliveries;
  v_config record;
  v_copy uuid;
  v_routed integer := 0;
begin
  select * into v_delivery from public.alert_deliveries where id = p_id and state = 'unroutable' for update;
  if not found then
    return 0;
  end if;
  for v_config in
    select c.id, c.channel
    from unnest(p_alert_config_ids) with ordinality as wanted(id, position)
    join public.alert_config c on c.id = wanted.id and c.enabled
    where not exists (
      select from monitoring.same_news(p_id) as other_id
      join public.alert_deliveries other on other.id = other_id
      where other.alert_config_id = c.id)
    order by wanted.position
  loop
    if v_routed = 0 then
      update public.alert_deliveries
      set state = 'due', alert_config_id = v_config.id, channel = v_config.channel, rendered = null,
          last_error = null, next_attempt_at = now()
      where id = p_id;
    else
      insert into public.alert_deliveries (alert_config_id, channel, event, created_at)
      values (v_config.id, v_config.channel, v_delivery.event, v_delivery.created_at)
      returning id into v_copy;
      insert into public.delivery_incidents (delivery_id, incident_id)
      select v_copy, t.incident_id from public.delivery_incidents t where t.delivery_id = p_id;
    end if;
    v_routed := v_routed + 1;
  end loop;
  return v_routed;
end
$$;
comment on function monitoring.route_delivery(uuid, uuid[]) is
  'Gives an unroutable delivery to rows of alert_config, one delivery each, passing over those that tell the same already. Answers how many.';

create function monitoring.cancel_delivery(p_id uuid, p_reason text) returns boolean
language sql
set search_path = ''
as $$
  with cancelled as (
    update public.alert_deliveries
    set state = 'cancelled', last_error = p_reason, settled_at = now()
    where id = p_id and state = 'unroutable'
    returning 1
  )
  select exists (select from cancelled)
$$;
comment on function monitoring.cancel_delivery(uuid, text) is 'Ends an unroutable delivery that is no longer owed.';

revoke execute on all functions in schema monitoring from public;
