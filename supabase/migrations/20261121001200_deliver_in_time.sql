-- Delivery, part two: the bytes that are sent are those that are stored; a preview is one function, so that a connection
-- that dies in the middle leaves no open transaction behind; and how many deliveries a run has left to the next one.

drop function monitoring.store_rendered(uuid, uuid, jsonb);
create function monitoring.store_rendered(p_id uuid, p_lease_token uuid, p_rendered jsonb) returns jsonb
language sql
set search_path = ''
as $$
  update public.alert_deliveries
  set rendered = p_rendered
  where id = p_id and lease_token = p_lease_token and state = 'due'
  returning rendered
$$;
comment on function monitoring.store_rendered(uuid, uuid, jsonb) is
  'Keeps what is about to be sent and answers it as stored, in the order of keys that a retry will find. NULL when the lease is another''s by now.';

create function monitoring.preview_deliveries(p_decision jsonb, p_limit integer) returns setof jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_claimed jsonb[];
begin
  begin
    if p_decision is not null then
      perform monitoring.apply_policy(p_decision);
    end if;
    select coalesce(array_agg(c.claimed order by c.place), '{}') into v_claimed
    from monitoring.claim_deliveries(p_limit, 0) with ordinality as c(claimed, place);
    raise exception 'taken back' using errcode = 'PV000';
  exception when sqlstate 'PV000' then
    -- the rows are as they were; what was claimed is still known
    null;
  end;
  return query select unnest(v_claimed);
end
$$;
comment on function monitoring.preview_deliveries(jsonb, integer) is
  'Writes a tick''s decision (NULL: none) and claims what is due, answers that, and takes everything back. Raises what apply_policy raises.';

create function monitoring.count_waiting_deliveries() returns integer
language sql
stable
set search_path = ''
as $$
  select count(*)::integer
  from public.alert_deliveries d
  join public.alert_config c on c.id = d.alert_config_id and c.channel = d.channel and c.enabled
  where d.state = 'due'
    and d.admitted_at is not null
    and d.next_attempt_at <= now()
    and (d.leased_until is null or d.leased_until <= now())
$$;
comment on function monitoring.count_waiting_deliveries() is
  'Deliveries that could be sent at this moment and that nobody is sending: what a run that stopped in time leaves to the next.';

revoke execute on all functions in schema monitoring from public;
