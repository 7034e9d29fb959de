-- How the hub calls its own functions. Schedules are defined here and switched on by monitoring.enable_schedules(),
-- so that nothing fires before there is something to call.

create table monitoring.edge_function_calls (
  request_id bigint not null,
  function_name text not null,
  body jsonb not null,
  called_at timestamptz not null default now()
);
comment on table monitoring.edge_function_calls is 'pg_net request ids of calls to our functions. pg_net forgets a response after 6 hours, and its ids may restart after a crash.';
create index edge_function_calls_called on monitoring.edge_function_calls (called_at);

create function monitoring.invoke_edge_function(
  p_name text,
  p_body jsonb default '{}',
  p_timeout_milliseconds integer default 10000
) returns bigint
language plpgsql
set search_path = ''
as $$
declare
  v_base text;
  v_key text;
  v_request_id bigint;
begin
  if p_name is null or p_name !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then
    raise exception 'cannot call edge function "%": a name is lower case letters, digits, _ and -', coalesce(p_name, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  v_base := coalesce(
    (select nullif(btrim(decrypted_secret), '') from vault.decrypted_secrets where name = 'project_url'),
    (select nullif(btrim(value), '') from public.app_settings where key = 'edge_base_url')
  );
  v_key := (select nullif(btrim(decrypted_secret), '') from vault.decrypted_secrets where name = 'monitor_secret_key');
  -- a NULL header would be sent without it, and the 401 would be seen by nobody
  if v_base is null then
    raise exception 'cannot call edge function "%": the project''s URL is unknown', p_name
      using hint = 'select vault.create_secret(''https://<ref>.supabase.co'', ''project_url'')';
  end if;
  if v_key is null then
    raise exception 'cannot call edge function "%": the Vault has no secret "monitor_secret_key"', p_name
      using hint = 'select vault.create_secret(''sb_secret_…'', ''monitor_secret_key'')';
  end if;

  v_request_id := net.http_post(
    url := rtrim(v_base, '/') || '/functions/v1/' || p_name,
    body := coalesce(p_body, '{}'),
    headers := jsonb_build_object('Content-Type', 'application/json', 'apikey', v_key),
    timeout_milliseconds := p_timeout_milliseconds
  );
  insert into monitoring.edge_function_calls (request_id, function_name, body)
  values (v_request_id, p_name, coalesce(p_body, '{}'));
  return v_request_id;
end
$$;
comment on function monitoring.invoke_edge_function(text, jsonb, integer) is 'Calls an edge function of the hub by pg_net with the named key of the Vault and answers the request id. Raises when URL or key are missing.';

create table monitoring.schedules (
  job_name text primary key,
  schedule text not null,
  command text not null,
  description text not null
);
comment on table monitoring.schedules is 'The pg_cron jobs of the monitor itself, as enable_schedules() makes them.';

insert into monitoring.schedules (job_name, schedule, command, description) values
  ('check-job-health', '*/15 * * * *',
   $cmd$select monitoring.invoke_edge_function('check-job-health', '{"source":"cron"}')$cmd$, 'Looks at every project'),
  ('discover-jobs', '7 */6 * * *',
   $cmd$select monitoring.invoke_edge_function('discover-jobs', '{"source":"cron"}')$cmd$, 'Keeps the inventory'),
  ('send-alert', '* * * * *',
   $cmd$select monitoring.invoke_edge_function('send-alert', '{"source":"cron"}')$cmd$, 'Delivers what is owed'),
  ('roll-up-health', '13 3 * * *', 'select monitoring.roll_up()', 'Durations of the days before'),
  ('purge-monitoring', '23 3 * * *', 'select monitoring.purge()', 'Partitions and retention');

create function monitoring.enable_schedules() returns setof text
language plpgsql
set search_path = ''
as $$
declare
  v_schedule record;
  v_job_id bigint;
begin
  if not exists (select 1 from vault.decrypted_secrets where name = 'monitor_secret_key') then
    raise exception 'cannot enable the schedules: the Vault has no secret "monitor_secret_key"'
      using hint = 'select vault.create_secret(''sb_secret_…'', ''monitor_secret_key'')';
  end if;
  if not exists (select 1 from vault.decrypted_secrets where name = 'project_url')
     and not exists (select 1 from public.app_settings where key = 'edge_base_url' and btrim(value) <> '') then
    raise exception 'cannot enable the schedules: the project''s URL is unknown'
      using hint = 'select vault.create_secret(''https://<ref>.supabase.co'', ''project_url'')';
  end if;
  for v_schedule in select * from monitoring.schedules order by job_name loop
    v_job_id := cron.schedule(v_schedule.job_name, v_schedule.schedule, v_schedule.command);
    -- scheduling an existing job again leaves it paused
    perform cron.alter_job(job_id := v_job_id, active := true);
    return next v_schedule.job_name || ' (' || v_schedule.schedule || ')';
  end loop;
end
$$;
comment on function monitoring.enable_schedules() is 'Schedules the monitor''s own pg_cron jobs (again). Answers one line a job. Undone by disable_schedules().';

create function monitoring.disable_schedules() returns setof text
language plpgsql
set search_path = ''
as $$
declare
  v_job record;
begin
  for v_job in
    select j.jobid, j.jobname from cron.job j
    join monitoring.schedules s on s.job_name = j.jobname
    where j.username = current_user
    order by j.jobname
  loop
    perform cron.unschedule(v_job.jobid);
    return next v_job.jobname;
  end loop;
end
$$;
comment on function monitoring.disable_schedules() is 'Unschedules the monitor''s own pg_cron jobs. Answers one name a job.';
