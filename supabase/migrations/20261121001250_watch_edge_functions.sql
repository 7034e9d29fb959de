-- Edge functions: what people expect of each, what was seen of their invocations, and what may report them.
-- Four ways lead here: the Management API (which functions, their logs), a log drain, a wrapper in the function, health checks.

-- --- what people write ---

alter table public.job_inventory
  add column health_check_header text,
  add column health_check_status text,
  add column health_check_body text,
  add column health_check_timeout_ms integer,
  add column health_check_max_ms integer,
  add column max_error_percent numeric,
  add column min_invocations integer,
  add column max_silence_minutes numeric,
  drop constraint "health_check_url is an http(s) URL",
  add constraint "health_check_url is an http(s) URL, vault:NAME or env:NAME" check (
    health_check_url ~* '^https?://[^\s]+$' or health_check_url ~ '^(vault|env):[A-Za-z0-9_.-]{1,128}$'
  ),
  add constraint "health_check_header is Name: vault:NAME or Name: env:NAME" check (
    health_check_header ~ '^[A-Za-z0-9-]{1,64}: ?(vault|env):[A-Za-z0-9_.-]{1,128}$'
  ),
  add constraint "health_check_status is such as 200, 2xx or 200, 404" check (
    health_check_status ~ '^[1-5]([0-9]{2}|xx)(\s*,\s*[1-5]([0-9]{2}|xx)){0,9}$'
  ),
  add constraint "health_check_body has at most 1000 characters" check (char_length(health_check_body) <= 1000),
  add constraint "health_check_timeout_ms is 100 to 30000" check (health_check_timeout_ms between 100 and 30000),
  add constraint "health_check_max_ms is 1 to 30000" check (health_check_max_ms between 1 and 30000),
  add constraint "max_error_percent is more than 0 and at most 100" check (max_error_percent > 0 and max_error_percent <= 100),
  add constraint "min_invocations is 1 to 1000" check (min_invocations between 1 and 1000),
  add constraint "max_silence_minutes is 5 to 44640 (31 days)" check (max_silence_minutes between 5 and 44640);
comment on column public.job_inventory.health_check_url is 'For you: URL that answers while an edge function or webhook is well; asked with GET every five minutes, or when schedule says. Where the URL is a secret: vault:NAME or env:NAME.';
comment on column public.job_inventory.health_check_header is 'For you: a header that the health check needs, its value by reference, such as apikey: vault:smoothed_key.';
comment on column public.job_inventory.health_check_status is 'For you: status of a healthy answer, such as 200, 2xx or 200, 404. Empty: 2xx.';
comment on column public.job_inventory.health_check_body is 'For you: text that a healthy answer contains in its first 64 kB. Empty: anything.';
comment on column public.job_inventory.health_check_timeout_ms is 'For you: milliseconds that a healthy answer may take at all. Empty: 10000.';
comment on column public.job_inventory.health_check_max_ms is 'For you: milliseconds above which an answer is slow. Empty: 5000.';
comment on column public.job_inventory.max_error_percent is 'For you: percentage of failed invocations from which an edge function is failing. Empty: 20.';
comment on column public.job_inventory.min_invocations is 'For you: how many of an edge function''s last invocations (of 24 hours) that percentage is taken of. Empty: 10.';
comment on column public.job_inventory.max_silence_minutes is 'For you: minutes without an invocation after which an edge function is silent. Empty: no calls are expected.';
comment on column public.job_inventory.failure_threshold is 'For you: failures in a row before the job counts as failed. Empty: 1; for health checks 2, for invocations of edge functions 3.';

create trigger job_inventory_tidy_health_check
  before insert or update of health_check_header, health_check_status, health_check_body on public.job_inventory
  for each row when (num_nonnulls(new.health_check_header, new.health_check_status, new.health_check_body) > 0)
  execute function monitoring.tidy_text('health_check_header', 'health_check_status', 'health_check_body');

insert into public.app_settings (key, value, description) values
  ('function_execution_days', '30', 'How many days of function_executions are kept.'),
  ('function_minute_days', '90', 'How many days of function_minutes are kept.');
alter table public.app_settings
  add constraint "function_execution_days is 1 to 3650" check (
    key <> 'function_execution_days' or (value ~ '^[0-9]{1,4}$' and value::integer between 1 and 3650)
  ),
  add constraint "function_minute_days is 2 to 3650" check (
    key <> 'function_minute_days' or (value ~ '^[0-9]{1,4}$' and value::integer between 2 and 3650)
  );

-- --- what was seen ---

create table public.edge_functions (
  job_inventory_id uuid primary key references public.job_inventory (id) on delete cascade,
  function_id text not null,
  status text not null,
  version integer not null,
  deployed_at timestamptz,
  seen_at timestamptz not null default now(),
  constraint "status is ACTIVE or THROTTLED" check (status in ('ACTIVE', 'THROTTLED'))
);
comment on table public.edge_functions is 'What the Management API says of each edge function, besides its row of job_inventory.';
comment on column public.edge_functions.function_id is 'Supabase''s id of it: what logs name it by.';
comment on column public.edge_functions.deployed_at is 'When this version was deployed.';
create index edge_functions_function on public.edge_functions (function_id);

create table public.function_executions (
  id uuid primary key,
  job_inventory_id uuid references public.job_inventory (id) on delete cascade,
  project_name text not null,
  function_name text not null,
  status text not null,
  http_status integer,
  started_at timestamptz not null,
  ended_at timestamptz,
  duration_ms double precision,
  error_name text,
  error_message text,
  received_at timestamptz not null default now(),
  constraint "status is running, success or failed" check (status in ('running', 'success', 'failed'))
);
comment on table public.function_executions is 'One execution of an edge function a row, as withExecutionLog (supabase/functions/with_execution_log.ts) reports them.';
comment on column public.function_executions.id is 'Made by the wrapper, so that a report sent twice is one row.';
comment on column public.function_executions.status is 'running: has not answered yet (told for executions that take long). failed: it threw, answered 5xx, or never answered.';
comment on column public.function_executions.ended_at is 'When the handler gave its answer; a body that streams goes on after it.';
comment on column public.function_executions.error_message is 'What it threw, with secrets blanked.';
create index function_executions_function on public.function_executions (project_name, function_name, started_at desc);
create index function_executions_job on public.function_executions (job_inventory_id, started_at desc);
create index function_executions_started on public.function_executions (started_at);
create index function_executions_running on public.function_executions (started_at) where status = 'running';

create table public.function_minutes (
  project_name text not null,
  function_name text not null,
  source text not null,
  minute timestamptz not null,
  invocations bigint not null,
  errors bigint not null,
  client_errors bigint not null,
  duration_total_ms double precision not null,
  duration_max_ms double precision not null,
  primary key (project_name, function_name, source, minute),
  constraint "source is log, drain or wrapper" check (source in ('log', 'drain', 'wrapper')),
  constraint "errors and client_errors are part of the invocations" check (
    errors >= 0 and client_errors >= 0 and errors + client_errors <= invocations
  )
);
comment on table public.function_minutes is 'Invocations of edge functions, counted per function, source and minute. Sources see the same invocations: never add them up.';
comment on column public.function_minutes.source is 'Who saw them: log (logs of the Management API), drain (a log drain), wrapper (withExecutionLog).';
comment on column public.function_minutes.errors is 'Invocations answered with 5xx, or that threw.';
comment on column public.function_minutes.client_errors is 'Invocations answered with 4xx: the callers'' errors, which count as no failure.';
create index function_minutes_recent on public.function_minutes (project_name, minute);
create index function_minutes_latest on public.function_minutes (project_name, function_name, minute);
create index function_minutes_age on public.function_minutes (minute);

create table public.function_log_state (
  project_name text primary key,
  read_from timestamptz,
  read_until timestamptz,
  not_before timestamptz,
  error_message text,
  error_since timestamptz,
  drained_from timestamptz,
  drained_until timestamptz
);
comment on table public.function_log_state is 'How far the invocation logs of each project are known.';
comment on column public.function_log_state.read_from is 'The Management API''s logs are known from here on without a gap.';
comment on column public.function_log_state.read_until is 'And up to here.';
comment on column public.function_log_state.not_before is 'The Management API asked for no more requests before this.';
comment on column public.function_log_state.drained_from is 'When the log drain was first heard of.';
comment on column public.function_log_state.drained_until is 'And when last.';

create table public.function_drain_batches (
  digest text primary key,
  received_at timestamptz not null default now()
);
comment on table public.function_drain_batches is 'SHA-256 of the batches that a drain delivered within the last day: one that comes twice counts once.';
create index function_drain_batches_age on public.function_drain_batches (received_at);

create table public.health_checks (
  job_inventory_id uuid primary key references public.job_inventory (id) on delete cascade,
  checked_at timestamptz not null,
  outcome text not null,
  http_status integer,
  latency_ms double precision,
  message text,
  failures_in_a_row integer not null,
  slow_in_a_row integer not null,
  last_success_at timestamptz,
  constraint "outcome is success, failed or unknown" check (outcome in ('success', 'failed', 'unknown'))
);
comment on table public.health_checks is 'The last answer of each health_check_url.';

-- --- what may report ---

create table public.report_tokens (
  id uuid primary key default gen_random_uuid(),
  project_name text not null,
  purpose text not null,
  token_hash text not null unique,
  created_at timestamptz not null default now(),
  revoked_at timestamptz,
  constraint "purpose is executions or log_drain" check (purpose in ('executions', 'log_drain'))
);
comment on table public.report_tokens is 'Tokens with which a project reports its functions'' executions or drains its logs, and can do nothing else. Kept as SHA-256.';
comment on column public.report_tokens.project_name is 'The one project that it speaks for.';

create function monitoring.create_report_token(p_project text, p_purpose text) returns text
language plpgsql
set search_path = ''
as $$
declare
  -- 244 random bits
  v_token text := 'sjm_' || replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
begin
  if p_project is null or p_project !~ '^[a-z][a-z0-9_-]{0,62}$' then
    raise exception 'cannot create a token for project "%": a name is lower case letters, digits, _ or -', coalesce(p_project, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  insert into public.report_tokens (project_name, purpose, token_hash)
  values (p_project, p_purpose, encode(sha256(convert_to(v_token, 'UTF8')), 'hex'));
  return v_token;
end
$$;
comment on function monitoring.create_report_token(text, text) is 'Makes a token for a project (purpose executions or log_drain) and answers it: the only time that it can be read.';

create function monitoring.revoke_report_tokens(p_project text, p_purpose text, p_before timestamptz default now()) returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_count integer;
begin
  update public.report_tokens
  set revoked_at = now()
  where project_name = p_project and purpose = p_purpose and created_at <= p_before and revoked_at is null;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
comment on function monitoring.revoke_report_tokens(text, text, timestamptz) is 'Revokes a project''s tokens that were made up to a time (default: all). To change one: make a new one, use it, revoke what is older.';

-- --- writing it down ---

create function monitoring.add_function_minutes(p_project text, p_source text, p_minutes jsonb) returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_count integer;
begin
  insert into public.function_minutes as m
    (project_name, function_name, source, minute, invocations, errors, client_errors, duration_total_ms, duration_max_ms)
  select p_project, n.function_name, p_source, n.minute, sum(n.invocations), sum(n.errors), sum(n.client_errors),
         sum(n.duration_total_ms), max(n.duration_max_ms)
  from (
    -- logs name a function by its id, and not always by its path
    select coalesce(
             (select i.job_name from public.edge_functions f
              join public.job_inventory i on i.id = f.job_inventory_id
              where f.function_id = r.function_id and i.project_name = p_project limit 1),
             r.function_name) as function_name,
           r.minute, r.invocations, r.errors, r.client_errors, r.duration_total_ms, r.duration_max_ms
    from jsonb_to_recordset(p_minutes) as r(
           function_name text, function_id text, minute timestamptz, invocations bigint, errors bigint,
           client_errors bigint, duration_total_ms double precision, duration_max_ms double precision)
  ) as n
  where n.function_name is not null
  group by n.function_name, n.minute
  -- in one order, so that two batches cannot wait for each other
  order by n.function_name, n.minute
  on conflict (project_name, function_name, source, minute) do update set
    invocations = m.invocations + excluded.invocations,
    errors = m.errors + excluded.errors,
    client_errors = m.client_errors + excluded.client_errors,
    duration_total_ms = m.duration_total_ms + excluded.duration_total_ms,
    duration_max_ms = greatest(m.duration_max_ms, excluded.duration_max_ms);
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
comment on function monitoring.add_function_minutes(text, text, jsonb) is 'Adds counted invocations to function_minutes.';

create function monitoring.know_functions(p_project text, p_names text[]) returns void
language sql
set search_path = ''
as $$
  with unknown as (
    insert into public.job_inventory (project_name, job_type, job_name, last_seen_at)
    select distinct p_project, 'edge_function', name, now()
    from unnest(p_names) as name
    where name is not null
      and not exists (
        select from public.job_inventory i
        where i.project_name = p_project and i.job_type = 'edge_function' and i.job_name = name and i.job_user is null)
      -- whoever has a token may be wrong, but not without end
      and (select count(*) from public.job_inventory where project_name = p_project and job_type = 'edge_function') < 500
    on conflict on constraint job_inventory_identity do nothing
    returning id, job_name
  )
  insert into public.inventory_changes (job_inventory_id, project_name, job_type, job_name, change)
  select id, p_project, 'edge_function', job_name, 'added' from unknown;
$$;
comment on function monitoring.know_functions(text, text[]) is 'Makes rows of the inventory for edge functions that reports name and nobody knew: where no Management API is asked, that is how they are discovered.';

create function monitoring.record_executions(p_project text, p_executions jsonb) returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_count integer;
  v_minutes jsonb;
begin
  perform monitoring.know_functions(p_project, array(
    select r.function_name from jsonb_to_recordset(p_executions) as r(function_name text)));

  with changed as (
    insert into public.function_executions as f
      (id, job_inventory_id, project_name, function_name, status, http_status, started_at, ended_at, duration_ms,
       error_name, error_message)
    select distinct on (r.id)
           r.id,
           (select i.id from public.job_inventory i
            where i.project_name = p_project and i.job_type = 'edge_function' and i.job_name = r.function_name
              and i.job_user is null),
           p_project, r.function_name, r.status, r.http_status, least(r.started_at, now()), least(r.ended_at, now()),
           r.duration_ms, r.error_name, r.error_message
    from jsonb_to_recordset(p_executions) as r(
           id uuid, function_name text, status text, http_status integer, started_at timestamptz,
           ended_at timestamptz, duration_ms double precision, error_name text, error_message text)
    -- of a start and its end in one report, the end
    order by r.id, (r.status = 'running')
    on conflict (id) do update set
      status = excluded.status,
      http_status = excluded.http_status,
      ended_at = excluded.ended_at,
      duration_ms = excluded.duration_ms,
      error_name = excluded.error_name,
      error_message = excluded.error_message
    where f.status = 'running' and excluded.status <> 'running' and f.project_name = excluded.project_name
    returning f.function_name, f.status, f.http_status, f.started_at, f.duration_ms
  )
  select count(*),
         jsonb_agg(jsonb_build_object(
           'function_name', function_name, 'minute', date_trunc('minute', started_at), 'invocations', 1,
           'errors', (status = 'failed')::integer,
           'client_errors', (status <> 'failed' and http_status between 400 and 499)::integer,
           'duration_total_ms', coalesce(duration_ms, 0), 'duration_max_ms', coalesce(duration_ms, 0)))
           filter (where status <> 'running')
  into v_count, v_minutes
  from changed;
  if v_minutes is not null then
    perform monitoring.add_function_minutes(p_project, 'wrapper', v_minutes);
  end if;
  return v_count;
end
$$;
comment on function monitoring.record_executions(text, jsonb) is 'Writes reported executions, each once, counts those that ended, and makes a row of the inventory for a function that nobody knew. Answers how many rows changed.';

create function monitoring.settle_lost_executions() returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_project text;
  v_minutes jsonb;
  v_count integer := 0;
begin
  for v_project, v_minutes in
    with lost as (
      -- no plan lets a function run longer than 400 seconds
      update public.function_executions
      set status = 'failed', error_name = 'NoAnswer', error_message = 'it never answered: cut off or killed'
      where status = 'running' and started_at < now() - interval '10 minutes'
      returning project_name, function_name, started_at
    )
    select project_name, jsonb_agg(jsonb_build_object(
      'function_name', function_name, 'minute', date_trunc('minute', started_at), 'invocations', 1, 'errors', 1,
      'client_errors', 0, 'duration_total_ms', 0, 'duration_max_ms', 0))
    from lost group by project_name
  loop
    perform monitoring.add_function_minutes(v_project, 'wrapper', v_minutes);
    v_count := v_count + jsonb_array_length(v_minutes);
  end loop;
  return v_count;
end
$$;
comment on function monitoring.settle_lost_executions() is 'Executions that were told as running and that no function can still be at have failed. Answers how many.';

create function monitoring.record_drained(p_project text, p_digest text, p_minutes jsonb) returns boolean
language plpgsql
set search_path = ''
as $$
begin
  insert into public.function_drain_batches (digest) values (p_digest) on conflict do nothing;
  if not found then
    return false;
  end if;
  perform monitoring.know_functions(p_project, array(
    select r.function_name from jsonb_to_recordset(p_minutes) as r(function_name text, function_id text)
    where r.function_id is not null
      and not exists (
        select from public.edge_functions f
        join public.job_inventory i on i.id = f.job_inventory_id
        where f.function_id = r.function_id and i.project_name = p_project)));
  -- a path alone is anything that somebody on the internet has tried
  perform monitoring.add_function_minutes(p_project, 'drain', coalesce((
    select jsonb_agg(m)
    from jsonb_array_elements(p_minutes) as m
    where m ->> 'function_id' is not null or exists (
      select from public.job_inventory i
      where i.project_name = p_project and i.job_type = 'edge_function' and i.job_name = m ->> 'function_name')), '[]'));
  insert into public.function_log_state as s (project_name, drained_from, drained_until)
  values (p_project, now(), now())
  on conflict (project_name) do update set
    drained_from = coalesce(s.drained_from, excluded.drained_from),
    drained_until = excluded.drained_until;
  return true;
end
$$;
comment on function monitoring.record_drained(text, text, jsonb) is 'Counts the invocations of one batch of a log drain. False: it had come before.';

create function monitoring.record_edge_observations(p_observations jsonb, p_seen jsonb) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_project text := p_observations ->> 'project';
  v_result jsonb := monitoring.record_observations(p_observations);
begin
  insert into public.edge_functions as e (job_inventory_id, function_id, status, version, deployed_at)
  select f.job_inventory_id, f.function_id, f.status, f.version, f.deployed_at
  from jsonb_to_recordset(coalesce(p_seen -> 'functions', '[]')) as f(
         job_inventory_id uuid, function_id text, status text, version integer, deployed_at timestamptz)
  on conflict (job_inventory_id) do update set
    function_id = excluded.function_id,
    status = excluded.status,
    version = excluded.version,
    deployed_at = excluded.deployed_at,
    seen_at = now();

  insert into public.health_checks as h
    (job_inventory_id, checked_at, outcome, http_status, latency_ms, message, failures_in_a_row, slow_in_a_row, last_success_at)
  select c.job_inventory_id, c.checked_at, c.outcome, c.http_status, c.latency_ms, c.message, c.failures_in_a_row,
         c.slow_in_a_row, case when c.outcome = 'success' then c.checked_at end
  from jsonb_to_recordset(coalesce(p_seen -> 'health_checks', '[]')) as c(
         job_inventory_id uuid, checked_at timestamptz, outcome text, http_status integer, latency_ms double precision,
         message text, failures_in_a_row integer, slow_in_a_row integer)
  on conflict (job_inventory_id) do update set
    checked_at = excluded.checked_at,
    outcome = excluded.outcome,
    http_status = excluded.http_status,
    latency_ms = excluded.latency_ms,
    message = excluded.message,
    failures_in_a_row = excluded.failures_in_a_row,
    slow_in_a_row = excluded.slow_in_a_row,
    last_success_at = coalesce(excluded.last_success_at, h.last_success_at);

  -- a minute that is read again is replaced: logs come late
  insert into public.function_minutes
    (project_name, function_name, source, minute, invocations, errors, client_errors, duration_total_ms, duration_max_ms)
  select v_project, m.function_name, 'log', m.minute, m.invocations, m.errors, m.client_errors, m.duration_total_ms,
         m.duration_max_ms
  from jsonb_to_recordset(coalesce(p_seen -> 'minutes', '[]')) as m(
         function_name text, minute timestamptz, invocations bigint, errors bigint, client_errors bigint,
         duration_total_ms double precision, duration_max_ms double precision)
  on conflict (project_name, function_name, source, minute) do update set
    invocations = excluded.invocations,
    errors = excluded.errors,
    client_errors = excluded.client_errors,
    duration_total_ms = excluded.duration_total_ms,
    duration_max_ms = excluded.duration_max_ms;

  if p_seen ? 'logs' then
    insert into public.function_log_state as s
      (project_name, read_from, read_until, not_before, error_message, error_since)
    select v_project, l.read_from, l.read_until, l.not_before, l.error_message,
           case when l.error_message is not null then now() end
    from jsonb_to_record(p_seen -> 'logs') as l(
           read_from timestamptz, read_until timestamptz, not_before timestamptz, error_message text)
    on conflict (project_name) do update set
      read_from = coalesce(excluded.read_from, s.read_from),
      read_until = coalesce(excluded.read_until, s.read_until),
      not_before = excluded.not_before,
      error_message = excluded.error_message,
      error_since = case when excluded.error_message is not null then coalesce(s.error_since, excluded.error_since) end;
  end if;
  return v_result;
end
$$;
comment on function monitoring.record_edge_observations(jsonb, jsonb) is 'record_observations() and, in the same transaction, what was seen of edge functions: deployments, health checks, minutes of logs and how far they were read.';

create function monitoring.purge_function_reports(p_limit integer default 5000) returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_execution_days integer := coalesce(
    (select value::integer from public.app_settings where key = 'function_execution_days'), 30);
  v_minute_days integer := coalesce(
    (select value::integer from public.app_settings where key = 'function_minute_days'), 90);
  v_rows integer;
  v_total integer := 0;
begin
  delete from public.function_executions where id in (
    select id from public.function_executions
    where started_at < now() - make_interval(days => v_execution_days) order by started_at limit p_limit);
  get diagnostics v_rows = row_count;
  v_total := v_total + v_rows;
  delete from public.function_minutes where ctid = any (array(
    select ctid from public.function_minutes
    where minute < now() - make_interval(days => v_minute_days) order by minute limit p_limit));
  get diagnostics v_rows = row_count;
  v_total := v_total + v_rows;
  delete from public.function_drain_batches where digest in (
    select digest from public.function_drain_batches
    where received_at < now() - interval '1 day' order by received_at limit p_limit);
  get diagnostics v_rows = row_count;
  return v_total + v_rows;
end
$$;
comment on function monitoring.purge_function_reports(integer) is 'Deletes executions, minutes and digests that are older than the settings say, so many of each at most. check-edge-functions calls it each time. Answers how many.';

insert into monitoring.schedules (job_name, schedule, command, description) values
  ('check-edge-functions', '*/5 * * * *',
   $cmd$select monitoring.invoke_edge_function('check-edge-functions', '{"source":"cron"}')$cmd$,
   'Lists edge functions, reads their logs, asks health_check_url, judges them');

-- --- nobody but the owner ---

alter table public.edge_functions enable row level security;
alter table public.function_executions enable row level security;
alter table public.function_minutes enable row level security;
alter table public.function_log_state enable row level security;
alter table public.function_drain_batches enable row level security;
alter table public.health_checks enable row level security;
alter table public.report_tokens enable row level security;
revoke all on table public.edge_functions, public.function_executions, public.function_minutes, public.function_log_state,
  public.function_drain_batches, public.health_checks, public.report_tokens from public, anon, authenticated;
revoke execute on all functions in schema monitoring from public;
