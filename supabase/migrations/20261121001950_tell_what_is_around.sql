-- What an alert says besides its incident: what changed before it, and who else is down. And rows of alert_config that
-- could never tell anything are refused.

create function monitoring.incident_surroundings_json(p_incident_id uuid) returns jsonb
language sql
stable
set search_path = ''
as $$
  with told as (
    select i.id, i.project_name, i.job_inventory_id, coalesce(s.last_success_at, i.opened_at - interval '1 day') as since
    from public.incidents i
    left join public.job_state s on s.job_inventory_id = i.job_inventory_id
    where i.id = p_incident_id
  ), changes as (
    select c.change, case when c.change = 'schedule' then c.old_value end as old_value, c.noticed_at
    from told
    join public.inventory_changes c on c.job_inventory_id = told.job_inventory_id and c.noticed_at > told.since
    where c.change not in ('added', 'job_id')
    order by c.noticed_at desc, c.id desc
    limit 3
  ), counted as (
    select count(*) filter (where i.project_name = told.project_name) as here,
           count(*) filter (where i.project_name <> told.project_name) as elsewhere
    from told, public.incidents i
    where i.id <> told.id and i.resolved_at is null and i.severity <> 'info' and i.subject_kind <> 'channel'
  ), gravest as (
    select first.place, i.code, coalesce(j.job_name, i.detail ->> 'subjectName', i.subject_id) as name
    from (
      select i.id, row_number() over (
               order by array_position(array['critical', 'important', 'low'], i.severity), i.opened_at, i.id) as place
      from told
      join public.incidents i on i.project_name = told.project_name
      where i.id <> told.id and i.resolved_at is null and i.severity <> 'info' and i.subject_kind <> 'channel'
      order by place
      limit 5) as first
    join public.incidents i on i.id = first.id
    left join public.job_inventory j on j.id = i.job_inventory_id
  )
  select jsonb_build_object(
    'changes', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'change', change, 'oldValue', old_value, 'noticedAt', noticed_at) order by noticed_at desc), '[]')
      from changes),
    'names', (
      select coalesce(jsonb_agg(jsonb_build_object('name', name, 'code', code) order by place), '[]') from gravest),
    'here', (select here from counted),
    'elsewhere', (select elsewhere from counted),
    'unreadSince', (
      select p.last_read_at from told join public.project_state p on p.project_name = told.project_name
      where p.status <> 'ok'))
$$;
comment on function monitoring.incident_surroundings_json(uuid) is
  'What is around an incident: what discovery found different about its job since that last succeeded, which other incidents are open, and since when its project cannot be read.';

create or replace function monitoring.delivery_incidents_json(p_delivery_id uuid) returns jsonb
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
    case when many = 1
      then monitoring.incident_json(id) || jsonb_build_object('surroundings', monitoring.incident_surroundings_json(id))
    -- a message about many quotes no job's own error, and hundreds of those are megabytes
    else monitoring.incident_json(id) #- '{detail,errorMessage}' #- '{detail,recentRuns}' end
    order by opened_at, id), '[]')
  from told
$$;
comment on function monitoring.delivery_incidents_json(uuid) is
  'The incidents that a delivery tells of: one with what is around it, many without their errors and runs.';

alter table public.alert_config
  add constraint "min_severity is not graver than criticality" check (
    criticality = 'all'
    or array_position(array['critical', 'important', 'low'], min_severity)
       >= array_position(array['critical', 'important', 'low'], criticality)
  ),
  add constraint "escalation_minutes needs criticality critical or all" check (
    escalation_minutes is null or criticality in ('critical', 'all')
  ),
  add constraint "quiet_from and quiet_until are whole minutes before 24:00" check (
    quiet_from < '24:00' and quiet_until < '24:00'
    and extract(second from quiet_from) = 0 and extract(second from quiet_until) = 0
  );

revoke execute on all functions in schema monitoring from public;
