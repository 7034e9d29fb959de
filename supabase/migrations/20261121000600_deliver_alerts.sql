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
  with told as materialized (
    select i.id, i.opened_at, count(*) over () as many
    from public.delivery_incidents d
    join public.incidents i on i.id = d.incident_id
    where d.delivery_id = p_delivery_id
  )
  select coalesce(jsonb_agg(
    case when many = 1 then monitoring.incident_json(id)
    -- a message about many quotes no job's own error, and hundreds of those are megabytes
    else monitoring.incident_json(id) #- '{detail,errorMessage}' #- '{detail,recentRuns}' end
    order by opened_at, id), '[]')
  from told
$$;
comment on function monitoring.delivery_incidents_json(uuid) is 'The incidents that a delivery tells of; without their errors and runs where there are many.';

create function monitoring.delivery_rank(p_event text) returns integer
language sql
immutable
set search_path = ''
as $$
  select array_position(array['opened', 'reminder', 'resolved', 'test'], p_event)
$$;
comment on function monitoring.delivery_rank(text) is 'Order of the events of one incident that were owed at the same instant.';

create function monitoring.ensure_default_alert_config(p_rows jsonb) returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_inserted integer;
begin
  if exists (select from public.alert_config) then
    return 0;
  end if;
  -- two first runs at once would both find it empty
  perform pg_advisory_xact_lock(hashtext('monitoring.ensure_default_alert_config'));
  insert into public.alert_config (
    name, channel, criticality, webhook_url, bot_token, chat_id, api_key, account, sender, recipients)
  select name, channel, criticality, webhook_url, bot_token, chat_id, api_key, account, sender, recipients
  from jsonb_to_recordset(p_rows) as r(
    name text, channel text, criticality text, webhook_url text, bot_token text, chat_id text, api_key text,
    account text, sender text, recipients text)
  where not exists (select from public.alert_config);
  get diagnostics v_inserted = row_count;
  return v_inserted;
end
$$;
comment on function monitoring.ensure_default_alert_config(jsonb) is
  'Inserts rows into alert_config where it is empty, and answers how many. A row that is there, even a disabled one, is a person''s word.';

create function monitoring.alert_target_json(p_config public.alert_config) returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'webhookUrl', p_config.webhook_url,
    'botToken', p_config.bot_token,
    'chatId', p_config.chat_id,
    'apiKey', p_config.api_key,
    'account', p_config.account,
    'sender', p_config.sender,
    'recipients', p_config.recipients,
    'messageStream', p_config.message_stream,
    'threadId', p_config.thread_id)
$$;
comment on function monitoring.alert_target_json(public.alert_config) is
  'Where a row of alert_config sends to, as written: values or references to secrets.';

create function monitoring.delivery_threads_json(p_delivery_id uuid) returns jsonb
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
      and o.event <> 'resolved'
      and o.provider_id is not null
      and o.id in (
        select theirs.delivery_id
        from public.delivery_incidents mine
        join public.delivery_incidents theirs on theirs.incident_id = mine.incident_id
        where mine.delivery_id = p_delivery_id and theirs.delivery_id <> p_delivery_id)
  ), threads as (
    select told.provider_id, min(told.created_at) as since, bool_and(i.resolved_at is not null) as over
    from told
    join public.delivery_incidents t on t.delivery_id = told.id
    join public.incidents i on i.id = t.incident_id
    group by told.provider_id
  )
  select coalesce(
    jsonb_agg(jsonb_build_object('providerId', provider_id, 'over', over) order by since, provider_id), '[]')
  from threads
$$;
comment on function monitoring.delivery_threads_json(uuid) is
  'What the same row of alert_config was told before of the incidents of a delivery, by the vendor''s id, and whether all that this told of is over.';

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
      and d.admitted_at is not null
      and d.next_attempt_at <= now()
      and (d.leased_until is null or d.leased_until <= now())
    order by d.created_at, d.id
    limit p_limit
    for update of d skip locked
  ), claimed as (
    update public.alert_deliveries d
    set attempts = d.attempts + 1,
        -- until it is settled: whoever dies in between never says whether the vendor took it
        uncertain_attempts = d.uncertain_attempts + 1,
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
    'note', d.note,
    'target', monitoring.alert_target_json(c),
    'rendered', d.rendered,
    'incidents', monitoring.delivery_incidents_json(d.id),
    'threads', monitoring.delivery_threads_json(d.id))
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
        refused = case when p_outcome ->> 'kind' = 'permanent' then coalesce(p_outcome ->> 'about', 'target') end,
        -- an attempt that was never made is not counted, nor does it hide the error of one that was
        attempts = d.attempts - case when p_outcome ->> 'kind' = 'release' then 1 else 0 end,
        uncertain_attempts = d.uncertain_attempts
          - case when coalesce((p_outcome ->> 'uncertain')::boolean, false) then 0 else 1 end,
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
  'Ends an attempt: {"kind": "sent", "provider_id"}, {"kind": "retry", "error", "delay_ms", "uncertain"}, {"kind": "permanent", "error", "about"} or {"kind": "release"}. False when the lease is another''s by now.';

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

create function monitoring.same_news(p_delivery_id uuid)
returns table (incident_id uuid, alert_config_id uuid, state text)
language sql
stable
set search_path = ''
as $$
  select mine.incident_id, other.alert_config_id,
         case when bool_or(other.state = 'sent') then 'sent' when bool_or(other.state = 'due') then 'due' else 'failed' end
  from public.alert_deliveries d
  join public.delivery_incidents mine on mine.delivery_id = d.id
  join public.delivery_incidents theirs on theirs.incident_id = mine.incident_id
  join public.alert_deliveries other on other.id = theirs.delivery_id
  where d.id = p_delivery_id
    and other.id <> d.id
    and other.event = d.event
    and other.state in ('due', 'sent', 'failed')
    and other.alert_config_id is not null
    -- an incident begins and ends once, but is reminded of again and again
    and (d.event <> 'reminder' or other.created_at >= d.created_at)
  group by mine.incident_id, other.alert_config_id
$$;
comment on function monitoring.same_news(uuid) is
  'Which rows of alert_config have, or had, deliveries of their own of the same event, by incident of the delivery.';

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
      select coalesce(jsonb_agg(jsonb_build_object('alertConfigId', row.alert_config_id, 'state', row.state)), '[]')
      from (
        select news.alert_config_id,
               case when bool_and(news.state in ('due', 'sent')) then min(news.state) else 'failed' end as state
        from monitoring.same_news(d.id) as news
        group by news.alert_config_id
        -- a row that tells only a part of it still has to tell the rest
        having count(*) = (select count(*) from public.delivery_incidents t where t.delivery_id = d.id)) as row))
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
    select c.id, c.channel,
           array(select t.incident_id from public.delivery_incidents t
                 where t.delivery_id = p_id and not exists (
                   select from monitoring.same_news(p_id) as news
                   where news.incident_id = t.incident_id and news.alert_config_id = c.id
                     and news.state in ('due', 'sent'))) as incidents
    from unnest(p_alert_config_ids) with ordinality as wanted(id, position)
    join public.alert_config c on c.id = wanted.id and c.enabled
    order by wanted.position
  loop
    continue when v_config.incidents = '{}';
    if v_routed = 0 then
      update public.alert_deliveries
      set state = 'due', alert_config_id = v_config.id, channel = v_config.channel, rendered = null,
          last_error = null, next_attempt_at = now(), admitted_at = null, held_reason = null,
          -- what an earlier target may have is nothing to this one
          uncertain_attempts = 0
      where id = p_id;
      delete from public.delivery_incidents
      where delivery_id = p_id and incident_id <> all (v_config.incidents);
    else
      insert into public.alert_deliveries (alert_config_id, channel, event, note, created_at, admitted_at)
      values (v_config.id, v_config.channel, v_delivery.event, v_delivery.note, v_delivery.created_at, null)
      returning id into v_copy;
      insert into public.delivery_incidents (delivery_id, incident_id)
      select v_copy, unnest(v_config.incidents);
    end if;
    v_routed := v_routed + 1;
  end loop;
  return v_routed;
end
$$;
comment on function monitoring.route_delivery(uuid, uuid[]) is
  'Gives an unroutable delivery to rows of alert_config, one delivery each, passing over what they tell already. Answers how many.';

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
