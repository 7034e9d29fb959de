-- What others read of the monitor: one view of everything for the function status, and badges by an unguessable id.

create table public.badges (
  id text primary key,
  project_name text not null,
  job_inventory_id uuid references public.job_inventory (id) on delete cascade,
  created_at timestamptz not null default now(),
  constraint "id has 32 hexadecimal digits" check (id ~ '^[0-9a-f]{32}$'),
  constraint badges_subject unique nulls not distinct (project_name, job_inventory_id)
);
comment on table public.badges is 'Badges that anybody may see who knows the id: of a project, or of one of its jobs. Delete a row to take one back.';
comment on column public.badges.id is 'Part of its URL; cannot be guessed.';
comment on column public.badges.project_name is 'The project.';
comment on column public.badges.job_inventory_id is 'The job. Empty: all of the project.';
alter table public.badges enable row level security;
revoke all on table public.badges from public, anon, authenticated;

create function monitoring.badge(p_project_name text, p_job_name text default null) returns text
language plpgsql
set search_path = ''
as $$
declare
  v_jobs uuid[];
  v_id text;
begin
  if p_job_name is null then
    if not exists (select from public.project_state where project_name = p_project_name)
       and not exists (select from public.job_inventory where project_name = p_project_name) then
      raise exception 'no project is called "%"', p_project_name using errcode = 'no_data_found';
    end if;
  else
    v_jobs := array(
      select id from public.job_inventory
      where project_name = p_project_name and job_name = p_job_name and removed_at is null);
    if cardinality(v_jobs) = 0 then
      raise exception 'project "%" has no job "%"', p_project_name, p_job_name using errcode = 'no_data_found';
    elsif cardinality(v_jobs) > 1 then
      raise exception 'project "%" has % jobs called "%": insert a row into badges with the id of one',
        p_project_name, cardinality(v_jobs), p_job_name using errcode = 'cardinality_violation';
    end if;
  end if;
  insert into public.badges (id, project_name, job_inventory_id)
  values (
    -- two random uuids, so that no bit of it is known
    left(encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'), 32),
    p_project_name, v_jobs[1])
  on conflict on constraint badges_subject do update set project_name = excluded.project_name
  returning id into v_id;
  return v_id;
end
$$;
comment on function monitoring.badge(text, text) is 'The id of the badge of a project or of one of its jobs; makes it where there is none. Its picture: /functions/v1/badge/<id>.svg.';

create function monitoring.status_of_badge(p_id text) returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'label', coalesce(j.job_name, b.project_name),
    'readable', coalesce(p.status, 'unknown') <> 'error',
    'readAt', monitoring.epoch_ms(p.last_read_at),
    'states', (
      select coalesce(jsonb_agg(coalesce(s.status, 'unknown')), '[]')
      from public.job_inventory one
      left join public.job_state s on s.job_inventory_id = one.id
      where one.project_name = b.project_name
        and one.removed_at is null
        and (one.id = b.job_inventory_id or (b.job_inventory_id is null and s.job_inventory_id is not null))))
  from public.badges b
  left join public.job_inventory j on j.id = b.job_inventory_id
  left join public.project_state p on p.project_name = b.project_name
  where b.id = p_id
$$;
comment on function monitoring.status_of_badge(text) is 'What a badge shows; NULL where no badge has the id.';

create function monitoring.status_view() returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'at', monitoring.epoch_ms(now()),
    'projects', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'name', p.project_name, 'status', p.status, 'errorCode', p.error_code,
        'readAt', monitoring.epoch_ms(p.last_read_at)) order by p.project_name), '[]')
      from public.project_state p),
    'jobs', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', j.id, 'project', j.project_name, 'type', j.job_type, 'name', j.job_name, 'user', j.job_user,
        'criticality', j.criticality, 'status', coalesce(s.status, 'unknown'), 'verdict', s.verdict,
        'lastRunAt', monitoring.epoch_ms(s.last_run_at),
        'lastSuccessAt', monitoring.epoch_ms(s.last_success_at),
        'lastRun', s.recent_runs -> -1) order by j.project_name, j.job_type, j.job_name, j.job_user), '[]')
      from public.job_inventory j
      left join public.job_state s on s.job_inventory_id = j.id
      where j.removed_at is null and (s.job_inventory_id is not null or j.job_type <> 'edge_function')),
    'incidents', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'project', project_name, 'severity', severity, 'count', count, 'acknowledged', acknowledged)
        order by project_name, severity), '[]')
      from (
        select project_name, severity, count(*) as count, count(acknowledged_at) as acknowledged
        from public.incidents where resolved_at is null group by project_name, severity) as open),
    'outbox', (
      select jsonb_build_object(
        'due', count(*) filter (where state = 'due' and admitted_at is not null),
        'held', count(*) filter (where state = 'due' and admitted_at is null),
        'unroutable', count(*) filter (where state = 'unroutable'),
        'oldestDueAt', monitoring.epoch_ms(min(created_at) filter (where state = 'due' and admitted_at is not null)))
      from public.alert_deliveries where state in ('due', 'unroutable')),
    'deadChannels', (select count(*) from public.channel_state where status = 'dead'),
    'functions', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'name', f.name, 'beganAt', monitoring.epoch_ms(latest.began_at), 'status', latest.status,
        'completeAt', monitoring.epoch_ms(complete.ended_at)) order by f.name), '[]')
      from (
        values ('check-job-health'), ('send-alert')
        union
        select function_name from public.check_runs where began_at > now() - interval '8 days') as f(name)
      left join lateral (
        select began_at, status from public.check_runs r
        where r.function_name = f.name order by began_at desc limit 1) as latest on true
      left join lateral (
        select ended_at from public.check_runs r
        where r.function_name = f.name and r.status = 'complete' order by began_at desc limit 1) as complete on true))
$$;
comment on function monitoring.status_view() is 'Everything that the function status shows, at one instant.';

revoke execute on all functions in schema monitoring from public;
