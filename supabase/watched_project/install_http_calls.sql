-- For a watched project: shows the job monitor what became of the HTTP calls that cron jobs make by pg_net.
-- Run it as `postgres` (SQL editor); running it again changes nothing. uninstall_http_calls.sql takes it away.
--
-- A cron command then calls monitored.http_post(…) instead of net.http_post(…), with the job's name as first argument.
-- What is kept for a day: the call's id, job, role, host and path, time and timeout. Never its headers or body.

do $$
begin
  if to_regclass('net._http_response') is null then
    raise exception 'cannot install monitored.http_post: this database has no pg_net'
      using hint = 'enable the extension pg_net first';
  end if;
end
$$;

create schema if not exists monitored;
comment on schema monitored is 'Calls by pg_net, kept for the job monitor. Not exposed through the API.';
revoke all on schema monitored from public;

create table if not exists monitored.http_calls (
  call_id bigint generated always as identity primary key,
  request_id bigint not null,
  job text not null,
  called_by text not null,
  method text not null,
  url text not null,
  timeout_milliseconds integer not null,
  called_at timestamptz not null default clock_timestamp(),
  transaction_at timestamptz not null default now(),
  epoch uuid not null
);
comment on table monitored.http_calls is 'A row for every call by monitored.http_post() and its kin; each call deletes some that are older than a day.';
comment on column monitored.http_calls.request_id is 'pg_net''s id of the request. Begins anew after a crash: epoch tells.';
comment on column monitored.http_calls.called_by is 'Role of the session: pg_cron''s username of the job.';
comment on column monitored.http_calls.url is 'Scheme, host, path and the names of the query''s parameters.';
comment on column monitored.http_calls.transaction_at is 'The same for all calls of one transaction.';
comment on column monitored.http_calls.epoch is 'The row of http_epoch that was there at the call.';

create index if not exists http_calls_called on monitored.http_calls (called_at);

-- unlogged as pg_net's tables are: what empties those empties this
create unlogged table if not exists monitored.http_epoch (
  epoch uuid not null default gen_random_uuid()
);
comment on table monitored.http_epoch is 'Shows that pg_net still has what it had at a call: a crash empties this table together with pg_net''s.';

revoke all on all tables in schema monitored from public;

create or replace function monitored.shown_url(p_url text) returns text
language sql
immutable
set search_path = ''
as $$
  select left(
    regexp_replace(split_part(split_part(p_url, '#', 1), '?', 1), '^([a-z]+://)[^/@]*@', '\1', 'i')
    || coalesce('?' || (
      select string_agg(case when part like '%=%' then split_part(part, '=', 1) || '=' else '' end || '***', '&' order by position)
      from unnest(string_to_array(nullif(substr(split_part(p_url, '#', 1), length(split_part(split_part(p_url, '#', 1), '?', 1)) + 2), ''), '&'))
        with ordinality as parts(part, position)), ''),
    500)
$$;
comment on function monitored.shown_url(text) is 'A URL without user, password, fragment and the values of its query.';

create or replace function monitored.note_http_call(
  p_request_id bigint, p_job text, p_method text, p_url text, p_timeout_milliseconds integer
) returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_epoch uuid := (select epoch from monitored.http_epoch limit 1);
begin
  -- two at once make two rows, which does no harm; waiting for another caller's transaction would
  if v_epoch is null then
    insert into monitored.http_epoch default values returning epoch into v_epoch;
  end if;
  insert into monitored.http_calls (request_id, job, called_by, method, url, timeout_milliseconds, epoch)
  values (p_request_id, left(p_job, 200), session_user, p_method, monitored.shown_url(p_url), p_timeout_milliseconds, v_epoch);
  delete from monitored.http_calls
  where call_id in (
    select call_id from monitored.http_calls
    where called_at < now() - interval '1 day'
    order by called_at limit 20 for update skip locked
  );
end
$$;
comment on function monitored.note_http_call(bigint, text, text, text, integer) is 'Keeps a call, so that its outcome can be told. Called by monitored.http_post() and its kin.';

create or replace function monitored.http_post(
  job text,
  url text,
  body jsonb default '{}',
  params jsonb default '{}',
  headers jsonb default '{"Content-Type": "application/json"}',
  timeout_milliseconds integer default 5000
) returns bigint
language plpgsql
set search_path = ''
as $$
declare
  v_request_id bigint;
begin
  if coalesce(btrim(job), '') = '' then
    raise exception 'cannot call by monitored.http_post: the job''s name is empty';
  end if;
  v_request_id := net.http_post(
    url := url, body := body, params := params, headers := headers, timeout_milliseconds := timeout_milliseconds);
  perform monitored.note_http_call(v_request_id, job, 'POST', url, timeout_milliseconds);
  return v_request_id;
end
$$;
comment on function monitored.http_post(text, text, jsonb, jsonb, jsonb, integer) is 'net.http_post() with the name of the calling cron job before its own parameters. Answers pg_net''s request id.';

create or replace function monitored.http_get(
  job text,
  url text,
  params jsonb default '{}',
  headers jsonb default '{}',
  timeout_milliseconds integer default 5000
) returns bigint
language plpgsql
set search_path = ''
as $$
declare
  v_request_id bigint;
begin
  if coalesce(btrim(job), '') = '' then
    raise exception 'cannot call by monitored.http_get: the job''s name is empty';
  end if;
  v_request_id := net.http_get(
    url := url, params := params, headers := headers, timeout_milliseconds := timeout_milliseconds);
  perform monitored.note_http_call(v_request_id, job, 'GET', url, timeout_milliseconds);
  return v_request_id;
end
$$;
comment on function monitored.http_get(text, text, jsonb, jsonb, integer) is 'net.http_get() with the name of the calling cron job before its own parameters. Answers pg_net''s request id.';

create or replace function monitored.http_delete(
  job text,
  url text,
  params jsonb default '{}',
  headers jsonb default '{}',
  timeout_milliseconds integer default 5000
) returns bigint
language plpgsql
set search_path = ''
as $$
declare
  v_request_id bigint;
begin
  if coalesce(btrim(job), '') = '' then
    raise exception 'cannot call by monitored.http_delete: the job''s name is empty';
  end if;
  v_request_id := net.http_delete(
    url := url, params := params, headers := headers, timeout_milliseconds := timeout_milliseconds);
  perform monitored.note_http_call(v_request_id, job, 'DELETE', url, timeout_milliseconds);
  return v_request_id;
end
$$;
comment on function monitored.http_delete(text, text, jsonb, jsonb, integer) is 'net.http_delete() with the name of the calling cron job before its own parameters. Answers pg_net''s request id.';

-- --- what the monitor reads ---

create or replace function monitored.body_ok(p_content text) returns boolean
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_body jsonb;
begin
  if p_content is null or length(p_content) > 1000000 or p_content !~ '^\s*\{' then
    return null;
  end if;
  v_body := p_content::jsonb;
  return case when jsonb_typeof(v_body -> 'ok') = 'boolean' then (v_body ->> 'ok')::boolean end;
exception when others then
  return null;
end
$$;
comment on function monitored.body_ok(text) is 'What a JSON object says of itself by "ok": true or false; NULL where it says nothing.';

create or replace function monitored.excerpt(p_content text) returns text
language sql
immutable
set search_path = ''
as $$
  select left(
    regexp_replace(
      regexp_replace(
        left(p_content, 4000),
        '(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]+|sb_(secret|publishable)_[A-Za-z0-9_-]+|sbp_[A-Za-z0-9_]+)', '***', 'g'),
      '((bearer\s+|(password|passwd|secret|token|api_?key|authorization)["'']?\s*[:=]\s*["'']?))[^\s"'',;}]+', '\1***', 'gi'),
    500)
$$;
comment on function monitored.excerpt(text) is 'The beginning of an answer, with what looks like a key blanked.';

create or replace function monitored.http_report(p_after bigint, p_again bigint[], p_limit integer) returns json
language sql
stable
security definer
set search_path = ''
as $$
  with calls as materialized (
    select c.*, exists (select from monitored.http_epoch e where e.epoch = c.epoch) as kept
    from (
      (select * from monitored.http_calls
       where call_id > p_after order by call_id limit least(p_limit, 5000))
      union
      -- a first look: the newest whose answers pg_net may still have
      (select * from monitored.http_calls
       where p_after is null and called_at > now() - interval '6 hours' order by call_id desc limit least(p_limit, 5000))
      union
      select * from monitored.http_calls where call_id = any (p_again)
    ) c
  ), waiting as materialized (
    select q.id from net.http_request_queue q where q.id in (select request_id from calls)
  ), answers as materialized (
    -- pg_net stamps an answer with the beginning of its batch, which may be a little before the call that it took along
    select c.call_id, count(*) as answers, bool_or(r.timed_out) as timed_out, min(r.status_code) as status_code,
           min(left(r.error_msg, 300)) as error_message, min(r.created) as answered_at,
           bool_and(monitored.body_ok(r.content)) as body_ok,
           min(case when r.status_code >= 400 or monitored.body_ok(r.content) is false then monitored.excerpt(r.content) end) as excerpt
    from calls c
    join net._http_response r on r.id = c.request_id and r.created >= c.called_at - interval '1 minute'
    where r.created >= (select min(called_at) - interval '1 minute' from calls)
    group by c.call_id
  )
  select json_build_object(
    'lastCallId', (select max(call_id) from monitored.http_calls),
    'calls', coalesce((select json_agg(json_build_object(
      'callId', c.call_id, 'job', c.job, 'calledBy', c.called_by, 'method', c.method, 'url', c.url,
      'timeoutMs', c.timeout_milliseconds,
      'calledAt', round(extract(epoch from c.called_at) * 1000),
      'transactionAt', round(extract(epoch from c.transaction_at) * 1000),
      'state', case
        when not c.kept then 'lost in a crash'
        when a.answers > 1 then 'ambiguous'
        when a.timed_out then 'timed out'
        when a.status_code is not null then 'answered'
        when a.call_id is not null then 'error'
        when c.request_id in (select id from waiting) then 'waiting'
        else 'gone' end,
      'statusCode', a.status_code, 'errorMessage', a.error_message, 'bodyOk', a.body_ok, 'excerpt', a.excerpt)
      order by c.call_id)
      from calls c left join answers a using (call_id)), '[]'))
$$;
comment on function monitored.http_report(bigint, bigint[], integer) is 'Calls after a call id, and some again, with what became of them: bounded, and without headers and whole bodies. All that the job monitor may read here.';

revoke execute on all functions in schema monitored from public;

do $$
begin
  if to_regrole('job_monitor') is not null then
    grant usage on schema monitored to job_monitor;
    grant execute on function monitored.http_report(bigint, bigint[], integer) to job_monitor;
  end if;
end
$$;
