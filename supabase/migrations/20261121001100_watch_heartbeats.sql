-- Jobs that run elsewhere and report: heartbeats. Callers of update_job_heartbeat() and of the ping URL write here;
-- cron-healthcheck reads what is new, judges it by the rules of every other job, and records it as one.

-- --- what people and callers write ---

create table public.job_heartbeats (
  job_name text primary key,
  last_run_at timestamptz not null default now(),
  status text default 'healthy',
  metadata jsonb default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  last_alert_at timestamptz,
  project_name text,
  job_type text not null default 'heartbeat',
  expected_interval_minutes numeric,
  schedule text,
  time_zone text not null default 'UTC',
  grace_minutes numeric,
  active boolean not null default true,
  alerts_quiet_until timestamptz,
  last_ping_id bigint,
  constraint "job_name is not empty" check (btrim(job_name) <> ''),
  constraint "project_name is lower case letters, digits, _ or -" check (project_name ~ '^[a-z][a-z0-9_-]{0,62}$'),
  constraint "job_type is heartbeat or webhook" check (job_type in ('heartbeat', 'webhook')),
  constraint "schedule has five fields: minute hour day month weekday" check (schedule ~ '^\s*(\S+(\s+\S+){4}|@[a-z]+)\s*$'),
  constraint "schedule or expected_interval_minutes, not both" check (num_nonnulls(schedule, expected_interval_minutes) < 2),
  constraint "expected_interval_minutes is 1 to 527040 (366 days)" check (expected_interval_minutes between 1 and 527040),
  constraint "grace_minutes is 0 to 44640 (31 days)" check (grace_minutes between 0 and 44640)
);
comment on table public.job_heartbeats is 'Jobs that run elsewhere and report that they ran. Annotate them in job_inventory, where cron-healthcheck puts each.';
comment on column public.job_heartbeats.job_name is 'Name of the job, unique over all projects.';
comment on column public.job_heartbeats.last_run_at is 'When it last said that it ran, well or not. Setting it by hand counts as such a word.';
comment on column public.job_heartbeats.status is 'What it said last. A word for failing (failed, error, …) is a failed run, one for beginning (started, running) a run that has begun, anything else a success.';
comment on column public.job_heartbeats.metadata is 'What it said besides. Of a failed run the keys error or message are told in alerts.';
comment on column public.job_heartbeats.last_alert_at is 'When an alert about it was last sent. For you too: now() puts its alerts off for 6 hours, NULL asks for one at once.';
comment on column public.job_heartbeats.project_name is 'For you: the project it belongs to. Empty: the hub.';
comment on column public.job_heartbeats.job_type is 'For you: heartbeat, or webhook.';
comment on column public.job_heartbeats.expected_interval_minutes is 'For you: minutes between two runs. Empty, and no schedule: 24 hours.';
comment on column public.job_heartbeats.schedule is 'For you: when it is due, as in a crontab, such as 30 2 * * 1-5.';
comment on column public.job_heartbeats.time_zone is 'For you: time zone of the schedule, such as Europe/Berlin.';
comment on column public.job_heartbeats.grace_minutes is 'For you: minutes it may be late, unless job_inventory.grace_minutes says so. Empty: half the interval, at least 2.5 and at most 60; 30 where there is neither interval nor schedule.';
comment on column public.job_heartbeats.active is 'For you: false while nothing is expected of it.';
comment on column public.job_heartbeats.alerts_quiet_until is 'Its alerts wait until then: 6 hours from the last_alert_at that a person wrote.';
comment on column public.job_heartbeats.last_ping_id is 'Its newest ping; empty: it never said a word.';

create index job_heartbeats_last_run_at_idx on public.job_heartbeats (last_run_at);
create index job_heartbeats_last_alert_at_idx on public.job_heartbeats (last_alert_at);
create index job_heartbeats_project on public.job_heartbeats (project_name);

create trigger job_heartbeats_tidy_text before insert or update of project_name, schedule on public.job_heartbeats
  for each row execute function monitoring.tidy_text('project_name', 'schedule');
create trigger job_heartbeats_time_zone before insert or update of time_zone on public.job_heartbeats
  for each row execute function monitoring.check_time_zone('time_zone');

create function public.update_job_heartbeat(
  p_job_name text,
  p_status text default 'healthy',
  p_metadata jsonb default '{}'
) returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.job_heartbeats (job_name, last_run_at, status, metadata, updated_at)
  values (p_job_name, now(), p_status, p_metadata, now())
  on conflict (job_name) do update set
    last_run_at = now(),
    status = excluded.status,
    metadata = excluded.metadata,
    updated_at = now();
end
$$;
comment on function public.update_job_heartbeat(text, text, jsonb) is 'A job says that it ran. For service_role: select update_job_heartbeat(''nightly_backup''), or supabase.rpc().';

-- --- what was said, one by one; service_role writes job_heartbeats and may not use this schema, so triggers use it as its owner ---

create table monitoring.heartbeat_pings (
  id bigint generated always as identity primary key,
  job_name text not null references public.job_heartbeats (job_name) on update cascade on delete cascade,
  kind text not null,
  received_at timestamptz not null default now(),
  started_at timestamptz,
  run_id uuid,
  exit_code integer,
  body text,
  ended_by bigint,
  constraint "kind is start, success, fail, log or lost" check (kind in ('start', 'success', 'fail', 'log', 'lost'))
);
comment on table monitoring.heartbeat_pings is 'Every word of a heartbeat; the newest 100 of each are kept, and those of 3 days. The log of runs is job_health_log.';
comment on column monitoring.heartbeat_pings.kind is 'start, success, fail, log (says nothing of the state), or lost: the run began and another one has taken its place.';
comment on column monitoring.heartbeat_pings.started_at is 'Of the end of a run: when it began, where that was told.';
comment on column monitoring.heartbeat_pings.run_id is 'What the client called the run (rid), so that its start and end find each other.';
comment on column monitoring.heartbeat_pings.body is 'What came with it, at most 10 kB.';
comment on column monitoring.heartbeat_pings.ended_by is 'Of a start: the ping that ended the run.';
create index heartbeat_pings_job on monitoring.heartbeat_pings (job_name, id);
create index heartbeat_pings_open on monitoring.heartbeat_pings (job_name, id) where kind = 'start' and ended_by is null;

create table monitoring.heartbeat_tokens (
  token_hash bytea primary key,
  job_name text not null references public.job_heartbeats (job_name) on update cascade on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  allowance double precision not null default 10,
  counted_at timestamptz not null default now()
);
comment on table monitoring.heartbeat_tokens is 'Who may ping which heartbeat: SHA-256 of the token that its URL ends in. The token itself is nowhere.';
comment on column monitoring.heartbeat_tokens.expires_at is 'When it stops to work, after another one has taken its place.';
comment on column monitoring.heartbeat_tokens.allowance is 'How many pings it had left at counted_at: 10 at once, and 5 a minute.';
create index heartbeat_tokens_job on monitoring.heartbeat_tokens (job_name);

create function monitoring.heartbeat_kind(p_status text) returns text
language sql
immutable
set search_path = ''
as $$
  select case
    when word in ('failed', 'failure', 'failing', 'fail', 'error', 'errored', 'unhealthy', 'critical', 'down', 'crashed',
                  'aborted', 'timeout', 'timed out') then 'fail'
    when word in ('started', 'start', 'starting', 'running', 'in progress') then 'start'
    else 'success' end
  from (select lower(btrim(replace(coalesce(p_status, ''), '_', ' '))) as word) as said
$$;
comment on function monitoring.heartbeat_kind(text) is 'What a status of job_heartbeats means: start, fail or success.';

create function monitoring.add_ping(
  p_job_name text, p_kind text, p_at timestamptz, p_run_id uuid, p_exit_code integer, p_body text
) returns bigint
language plpgsql
set search_path = ''
as $$
declare
  v_open record;
  v_started timestamptz;
  v_start_id bigint;
  v_id bigint;
begin
  if p_kind = 'start' then
    for v_open in
      select id, received_at, run_id from monitoring.heartbeat_pings
      where job_name = p_job_name and kind = 'start' and ended_by is null
        -- without ids there is one run at a time; with them a day is enough for any
        and (run_id is not distinct from p_run_id or received_at < p_at - interval '1 day')
      order by id
    loop
      insert into monitoring.heartbeat_pings (job_name, kind, received_at, started_at, run_id)
      values (p_job_name, 'lost', p_at, v_open.received_at, v_open.run_id)
      returning id into v_id;
      update monitoring.heartbeat_pings set ended_by = v_id where id = v_open.id;
    end loop;
  elsif p_kind in ('success', 'fail') then
    select id, received_at into v_start_id, v_started
    from monitoring.heartbeat_pings
    where job_name = p_job_name and kind = 'start' and ended_by is null and run_id is not distinct from p_run_id
    order by id desc
    limit 1;
    -- an end without an id is that of the one run that goes on
    if v_start_id is null and p_run_id is null then
      select min(id), min(received_at) into v_start_id, v_started
      from monitoring.heartbeat_pings
      where job_name = p_job_name and kind = 'start' and ended_by is null
      having count(*) = 1;
    end if;
  end if;
  insert into monitoring.heartbeat_pings (job_name, kind, received_at, started_at, run_id, exit_code, body)
  values (p_job_name, p_kind, p_at, case when v_started <= p_at then v_started end, p_run_id, p_exit_code, left(p_body, 10500))
  returning id into v_id;
  update monitoring.heartbeat_pings set ended_by = v_id where id = v_start_id;
  return v_id;
end
$$;
comment on function monitoring.add_ping(text, text, timestamptz, uuid, integer, text) is 'Keeps a ping and ties the end of a run to its start. Its caller holds the lock of the heartbeat''s row, so that ids rise with time.';

create function monitoring.note_heartbeat() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_id bigint;
begin
  v_id := monitoring.add_ping(
    new.job_name, monitoring.heartbeat_kind(new.status), new.last_run_at, null, null,
    coalesce(new.metadata ->> 'error', new.metadata ->> 'message', nullif(new.metadata, '{}')::text));
  update public.job_heartbeats set last_ping_id = v_id where job_name = new.job_name;
  return null;
end
$$;
comment on function monitoring.note_heartbeat() is 'Trigger: whoever writes last_run_at has said that the job ran.';
create trigger job_heartbeats_inserted after insert on public.job_heartbeats
  for each row when (new.status is distinct from 'never pinged')
  execute function monitoring.note_heartbeat();
create trigger job_heartbeats_ran after update of last_run_at on public.job_heartbeats
  for each row when (new.last_ping_id is not distinct from old.last_ping_id)
  execute function monitoring.note_heartbeat();

create function monitoring.receive_ping(
  p_token_hash text, p_kind text, p_run_id uuid default null, p_exit_code integer default null, p_body text default null
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  c_burst constant double precision := 10;
  c_seconds_each constant double precision := 12;
  v_job text;
  v_have double precision;
  v_id bigint;
begin
  update monitoring.heartbeat_tokens t
  set allowance = known.have - case when known.have >= 1 then 1 else 0 end,
      counted_at = now(),
      last_used_at = now()
  from (
    select token_hash, least(c_burst, allowance + extract(epoch from now() - counted_at) / c_seconds_each) as have
    from monitoring.heartbeat_tokens
    where token_hash = decode(p_token_hash, 'hex') and (expires_at is null or expires_at > now())
    for update
  ) as known
  where t.token_hash = known.token_hash
  returning t.job_name, known.have into v_job, v_have;
  if v_job is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if v_have < 1 then
    return jsonb_build_object('outcome', 'limited', 'retry_after', ceil((1 - v_have) * c_seconds_each));
  end if;

  perform from public.job_heartbeats where job_name = v_job for update;
  v_id := monitoring.add_ping(v_job, p_kind, now(), p_run_id, p_exit_code, p_body);
  if p_kind in ('success', 'fail') then
    update public.job_heartbeats
    set last_run_at = now(),
        status = case p_kind when 'fail' then 'failed' else 'healthy' end,
        metadata = jsonb_strip_nulls(jsonb_build_object('exit_code', p_exit_code, 'run_id', p_run_id)),
        updated_at = now(),
        last_ping_id = v_id
    where job_name = v_job;
  else
    update public.job_heartbeats
    set status = case p_kind when 'start' then 'running' else status end,
        updated_at = now(),
        last_ping_id = v_id
    where job_name = v_job;
  end if;
  return jsonb_build_object('outcome', 'kept');
end
$$;
comment on function monitoring.receive_ping(text, text, uuid, integer, text) is 'Takes a ping for whoever has the token of that SHA-256 (hex). Answers {"outcome": "kept"}, "unknown", or "limited" with retry_after in seconds.';

-- --- setting one up ---

create function monitoring.new_heartbeat_token(p_job_name text) returns text
language plpgsql
set search_path = ''
as $$
declare
  -- 128 of 244 random bits, in the form that clients of ping APIs expect
  v_token text := left(encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'), 32)::uuid::text;
begin
  insert into monitoring.heartbeat_tokens (token_hash, job_name)
  values (sha256(convert_to(v_token, 'UTF8')), p_job_name);
  return v_token;
end
$$;
comment on function monitoring.new_heartbeat_token(text) is 'Makes a token for a heartbeat and answers it, which nothing ever does again.';

create function monitoring.create_heartbeat(
  p_job_name text,
  p_project text default null,
  p_expected_interval_minutes numeric default null,
  p_schedule text default null,
  p_time_zone text default 'UTC',
  p_grace_minutes numeric default null,
  p_job_type text default 'heartbeat'
) returns text
language plpgsql
set search_path = ''
as $$
begin
  insert into public.job_heartbeats
    (job_name, status, project_name, expected_interval_minutes, schedule, time_zone, grace_minutes, job_type)
  values
    (p_job_name, 'never pinged', p_project, p_expected_interval_minutes, p_schedule, coalesce(p_time_zone, 'UTC'),
     p_grace_minutes, coalesce(p_job_type, 'heartbeat'));
  return monitoring.new_heartbeat_token(p_job_name);
exception
  when unique_violation then
    raise exception 'cannot create heartbeat "%": there is one of that name', p_job_name
      using errcode = 'unique_violation', hint = 'select monitoring.rotate_heartbeat_token(…) gives it another token';
end
$$;
comment on function monitoring.create_heartbeat(text, text, numeric, text, text, numeric, text) is 'Sets up a heartbeat and answers its token, which is shown this once: its URL is …/functions/v1/receive-heartbeat/<token>.';

create function monitoring.rotate_heartbeat_token(p_job_name text, p_keep interval default interval '24 hours') returns text
language plpgsql
set search_path = ''
as $$
begin
  if not exists (select from public.job_heartbeats where job_name = p_job_name) then
    raise exception 'cannot rotate the token of heartbeat "%": there is no such heartbeat', coalesce(p_job_name, 'null')
      using errcode = 'no_data_found';
  end if;
  update monitoring.heartbeat_tokens
  set expires_at = least(expires_at, now() + p_keep)
  where job_name = p_job_name and (expires_at is null or expires_at > now());
  delete from monitoring.heartbeat_tokens where job_name = p_job_name and expires_at < now() - interval '30 days';
  return monitoring.new_heartbeat_token(p_job_name);
end
$$;
comment on function monitoring.rotate_heartbeat_token(text, interval) is 'Answers a new token for a heartbeat; the old ones go on for so long (24 hours; interval ''0'' ends them now).';

create function monitoring.remove_heartbeat(p_job_name text) returns boolean
language plpgsql
set search_path = ''
as $$
begin
  delete from public.job_heartbeats where job_name = p_job_name;
  return found;
end
$$;
comment on function monitoring.remove_heartbeat(text) is 'Removes a heartbeat and its tokens; its annotations and its log stay. False where there is none.';

create function monitoring.heartbeat_removed() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  with gone as (
    update public.job_inventory
    set removed_at = now()
    where project_name = old.project_name and job_type = old.job_type and job_name = old.job_name and removed_at is null
    returning id, project_name, job_type, job_name, schedule
  )
  insert into public.inventory_changes (job_inventory_id, project_name, job_type, job_name, change, old_value)
  select id, project_name, job_type, job_name, 'removed', schedule from gone;
  return null;
end
$$;
comment on function monitoring.heartbeat_removed() is 'Trigger: a heartbeat that is gone is gone from the inventory; cron-healthcheck then ends its incidents.';
create trigger job_heartbeats_removed after delete on public.job_heartbeats
  for each row execute function monitoring.heartbeat_removed();

-- --- alerts: last_alert_at is true, and a person may set it ---

create function monitoring.heartbeats_of_incidents(p_incident_ids uuid[]) returns table (incident_id uuid, job_name text)
language sql
stable
set search_path = ''
as $$
  select i.id, h.job_name
  from public.incidents i
  join public.job_inventory j on j.id = i.job_inventory_id and j.job_type in ('heartbeat', 'webhook')
  join public.job_heartbeats h on h.project_name = j.project_name and h.job_type = j.job_type and h.job_name = j.job_name
  where i.id = any (p_incident_ids)
$$;
comment on function monitoring.heartbeats_of_incidents(uuid[]) is 'Which heartbeats some incidents are about.';

create function monitoring.note_heartbeat_alert() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  v_told uuid[] := array(select incident_id from public.delivery_incidents where delivery_id = new.id);
begin
  update public.job_heartbeats
  set last_alert_at = greatest(last_alert_at, new.sent_at)
  where job_name in (select job_name from monitoring.heartbeats_of_incidents(v_told));
  update public.incidents set reminders_from = null where id = any (v_told) and reminders_from is not null;
  return null;
end
$$;
comment on function monitoring.note_heartbeat_alert() is 'Trigger: an alert that was sent is the last one of the heartbeats it tells of, and reminders count from it again.';
create trigger alert_deliveries_last_alert after update of state on public.alert_deliveries
  for each row
  when (old.state <> 'sent' and new.state = 'sent' and new.event in ('opened', 'reminder'))
  execute function monitoring.note_heartbeat_alert();

create function monitoring.move_heartbeat_alerts() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- what note_heartbeat_alert() writes moves nothing
  if pg_trigger_depth() > 1 then
    return null;
  end if;
  update public.incidents i
  set reminders_from = coalesce(new.last_alert_at, 'epoch'),
      quiet_until = new.last_alert_at + interval '6 hours'
  from public.job_inventory j
  where j.project_name = new.project_name and j.job_type = new.job_type and j.job_name = new.job_name
    and i.job_inventory_id = j.id and i.resolved_at is null;
  update public.job_heartbeats set alerts_quiet_until = new.last_alert_at + interval '6 hours' where job_name = new.job_name;
  return null;
end
$$;
comment on function monitoring.move_heartbeat_alerts() is 'Trigger: last_alert_at written by hand moves the next reminder, and puts off what has not been told for 6 hours from it.';
create trigger job_heartbeats_alerts_moved after update of last_alert_at on public.job_heartbeats
  for each row execute function monitoring.move_heartbeat_alerts();

create function monitoring.quiet_heartbeat_incident() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.quiet_until := (
    select h.alerts_quiet_until
    from public.job_inventory j
    join public.job_heartbeats h on h.project_name = j.project_name and h.job_type = j.job_type and h.job_name = j.job_name
    where j.id = new.job_inventory_id and h.alerts_quiet_until > now());
  return new;
end
$$;
comment on function monitoring.quiet_heartbeat_incident() is 'Trigger: an incident that opens while its heartbeat''s alerts are put off waits as well.';
create trigger incidents_quiet_heartbeat before insert on public.incidents
  for each row when (new.job_inventory_id is not null and new.quiet_until is null)
  execute function monitoring.quiet_heartbeat_incident();

-- --- how they are; with the owner's rights, since service_role may read this and not the schema monitoring ---

create view public.heartbeat_overview as
select h.job_name, h.project_name, h.job_type, h.schedule, h.time_zone, h.expected_interval_minutes,
       due.grace_minutes, h.active, h.last_run_at, h.status as last_word,
       case when h.schedule is null and h.last_ping_id is not null
         then h.last_run_at + make_interval(secs => 60 * (due.interval_minutes + due.grace_minutes)::double precision) end as due_at,
       case
         when not h.active then 'paused'
         when h.last_ping_id is null then coalesce(nullif(s.status, 'healthy'), 'unknown')
         when h.schedule is null
           and h.last_run_at + make_interval(secs => 60 * (due.interval_minutes + due.grace_minutes)::double precision) <= now()
           then 'missed'
         when h.last_run_at > s.checked_at then case monitoring.heartbeat_kind(h.status) when 'fail' then 'failed' else 'healthy' end
         else coalesce(s.status, case monitoring.heartbeat_kind(h.status) when 'fail' then 'failed' else 'healthy' end)
       end as state,
       s.verdict, s.summary, s.checked_at,
       (select min(p.received_at) from monitoring.heartbeat_pings p
        where p.job_name = h.job_name and p.kind = 'start' and p.ended_by is null) as running_since,
       h.active and h.last_ping_id is not null and (
         case when h.schedule is null then h.last_run_at + make_interval(secs => 60 * due.interval_minutes::double precision) <= now()
         else coalesce(s.status, '') = 'missed' and h.last_run_at <= s.checked_at end) as stale,
       h.last_alert_at, h.alerts_quiet_until, h.created_at, j.id as job_inventory_id, j.criticality, j.owner, j.runbook_url,
       (select count(*) from monitoring.heartbeat_tokens t
        where t.job_name = h.job_name and (t.expires_at is null or t.expires_at > now())) as tokens,
       (select max(t.last_used_at) from monitoring.heartbeat_tokens t where t.job_name = h.job_name) as token_used_at
from public.job_heartbeats h
left join public.job_inventory j
  on j.project_name = h.project_name and j.job_type = h.job_type and j.job_name = h.job_name
left join public.job_state s on s.job_inventory_id = j.id
cross join lateral (
  select coalesce(h.expected_interval_minutes, 1440) as interval_minutes,
         coalesce(j.grace_minutes, h.grace_minutes,
                  case when h.schedule is not null then null
                       when h.expected_interval_minutes is null then 30
                       else least(greatest(h.expected_interval_minutes / 2, 2.5), 60) end) as grace_minutes
) as due;
comment on view public.heartbeat_overview is 'How every heartbeat is now. stale: it should have said something by now. due_at: when that is told, where it has no schedule. state: as of now where it has no schedule, else as of the last check.';

create view public.healthcheck_summary as
select count(*) as total_jobs,
       count(*) filter (where state = 'healthy' and not stale) as healthy_jobs,
       count(*) filter (where stale) as stale_jobs,
       count(*) filter (where last_alert_at > now() - interval '24 hours') as alerted_jobs,
       max(last_run_at) as most_recent_heartbeat,
       min(last_run_at) as oldest_heartbeat,
       count(*) filter (where state = 'failed') as failed_jobs,
       count(*) filter (where state = 'unknown') as unknown_jobs,
       count(*) filter (where state = 'paused') as paused_jobs
from public.heartbeat_overview;
comment on view public.healthcheck_summary is 'Heartbeats, counted. stale_jobs: those whose interval (24 hours where nobody gave one) has passed without a word, or that missed their schedule; once their grace has passed too, that is told.';

-- --- cron-healthcheck ---

create function monitoring.adopt_heartbeats(p_hub text) returns integer
language sql
set search_path = ''
as $$
  with adopted as (
    update public.job_heartbeats set project_name = p_hub where project_name is null returning 1
  )
  select count(*)::integer from adopted
$$;
comment on function monitoring.adopt_heartbeats(text) is 'Gives heartbeats that name no project to the hub.';

create function monitoring.heartbeat_facts(p_project text, p_hub text, p_cursors jsonb, p_limit integer) returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'now', monitoring.epoch_ms(now()),
    'heartbeats', coalesce(jsonb_agg(jsonb_build_object(
      'jobName', h.job_name,
      'jobType', h.job_type,
      'expectedIntervalMinutes', h.expected_interval_minutes,
      'schedule', h.schedule,
      'timeZone', h.time_zone,
      'graceMinutes', h.grace_minutes,
      'active', h.active,
      'pinged', h.last_ping_id is not null,
      'lastRunAt', case when h.last_ping_id is not null then monitoring.epoch_ms(h.last_run_at) end,
      'createdAt', monitoring.epoch_ms(h.created_at),
      'ends', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'id', p.id, 'kind', p.kind, 'startedAt', monitoring.epoch_ms(p.started_at),
          'endedAt', monitoring.epoch_ms(p.received_at), 'exitCode', p.exit_code, 'body', left(p.body, 4000)) order by p.id), '[]')
        from (
          select * from monitoring.heartbeat_pings e
          where e.job_name = h.job_name and e.kind in ('success', 'fail', 'lost')
            and e.id > coalesce((p_cursors ->> h.job_name)::bigint, 0)
          order by e.id
          limit p_limit
        ) as p),
      'open', (
        select jsonb_build_object('id', p.id, 'startedAt', monitoring.epoch_ms(p.received_at))
        from monitoring.heartbeat_pings p
        where p.job_name = h.job_name and p.kind = 'start' and p.ended_by is null
        order by p.id desc
        limit 1)) order by h.job_name), '[]'))
  from public.job_heartbeats h
  where coalesce(h.project_name, p_hub) = p_project
    -- what is asked whether it is well need not say so itself, and is judged by its answers
    and not exists (
      select from public.job_inventory j
      where j.project_name = p_project and j.job_type = 'webhook' and h.job_type = 'webhook' and j.job_name = h.job_name
        and j.health_check_url is not null)
$$;
comment on function monitoring.heartbeat_facts(text, text, jsonb, integer) is 'The heartbeats of a project with the ends of runs after each one''s cursor ({job_name: ping id}), oldest first, and the newest run that has begun.';

create function monitoring.prune_heartbeat_pings() returns integer
language sql
set search_path = ''
as $$
  with pruned as (
    delete from monitoring.heartbeat_pings p
    using (
      select p.id
      from public.job_heartbeats h
      cross join lateral (
        select id from monitoring.heartbeat_pings n
        where n.job_name = h.job_name order by n.id desc offset 100 limit 1
      ) as last
      join monitoring.heartbeat_pings p on p.job_name = h.job_name and p.id <= last.id
      where p.received_at < now() - interval '3 days' and (p.kind <> 'start' or p.ended_by is not null)
      limit 10000
    ) as old
    where p.id = old.id
    returning 1
  )
  select count(*)::integer from pruned
$$;
comment on function monitoring.prune_heartbeat_pings() is 'Deletes pings older than 3 days beyond the newest 100 of each heartbeat, at most 10,000 at a time.';

insert into monitoring.schedules (job_name, schedule, command, description) values
  ('cron-healthcheck-job', '0 */6 * * *',
   $cmd$select monitoring.prune_heartbeat_pings(), monitoring.invoke_edge_function('cron-healthcheck', '{"source":"cron"}')$cmd$,
   'Judges every heartbeat, and clears old pings'),
  -- a heartbeat of five minutes is noticed in minutes; not at full quarters, when check-job-health records
  ('check-heartbeats', '2-57/5 * * * *',
   $cmd$select monitoring.invoke_edge_function('cron-healthcheck', '{"source":"cron"}') where exists (select from public.job_heartbeats)$cmd$,
   'Judges every heartbeat, where there are any');

-- --- nobody but the owner and service_role ---

alter table public.job_heartbeats enable row level security;
alter table monitoring.heartbeat_pings enable row level security;
alter table monitoring.heartbeat_tokens enable row level security;
revoke all on table public.job_heartbeats, public.heartbeat_overview, public.healthcheck_summary,
  monitoring.heartbeat_pings, monitoring.heartbeat_tokens from public, anon, authenticated;
revoke all on sequence monitoring.heartbeat_pings_id_seq from public, anon, authenticated;
revoke execute on function public.update_job_heartbeat(text, text, jsonb) from public, anon, authenticated;
grant execute on function public.update_job_heartbeat(text, text, jsonb) to service_role;
revoke execute on all functions in schema monitoring from public;
grant execute on function monitoring.heartbeat_kind(text) to service_role;
