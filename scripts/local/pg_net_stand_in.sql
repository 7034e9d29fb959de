-- STAND-IN for pg_net (extension pg_net 0.20), which Debian does not package. Only for the local stack and tests,
-- applied by superuser `supabase_admin`. Same schema, signatures, defaults, grants and tables; the background worker is
-- pg_net_worker.ts, an ordinary client. What differs: see net.wake, net.check_worker_is_up and net.worker_restart.

create schema net;
comment on schema net is 'Stand-in for pg_net: requests are sent by scripts/local/pg_net_worker.ts';

create domain net.http_method as text
  constraint http_method_check check (lower(value) in ('get', 'post', 'delete'));

-- unlogged as in pg_net: a crash empties both tables
create unlogged table net.http_request_queue (
  id bigserial,
  method net.http_method not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds integer not null
);

create unlogged table net._http_response (
  id bigint,
  status_code integer,
  content_type text,
  headers jsonb,
  content text,
  timed_out boolean,
  error_msg text,
  created timestamptz not null default now()
);
create index _http_response_created_idx on net._http_response (created);

-- pg_net's worker is a background process, which an ordinary client cannot pose as: the stand-in's is known by its
-- application_name instead of its backend_type.
create function net.check_worker_is_up() returns void
language plpgsql
as $$
begin
  if not exists (
    select from pg_stat_activity
    where datname = current_database() and application_name = 'pg_net stand-in worker'
  ) then
    raise exception 'the pg_net background worker is not up'
      using detail = 'no session of this database is called "pg_net stand-in worker"',
            hint = 'start the local stack, whose scripts/local/pg_net_worker.ts sends the requests';
  end if;
end
$$;

-- pg_net sets a latch of its worker at commit; a notification too is only sent at commit, once a transaction.
create function net.wake() returns void
language sql
as $$ notify pg_net_stand_in, 'wake' $$;

-- pg_net's worker finishes its batch, restarts and looks at the queue; the stand-in's only looks at the queue.
create function net.worker_restart() returns boolean
language sql
as $$
  notify pg_net_stand_in, 'restart';
  select true
$$;

create function net.wait_until_running() returns void
language plpgsql
as $$
begin
  loop
    perform pg_stat_clear_snapshot();
    exit when exists (
      select from pg_stat_activity
      where datname = current_database() and application_name = 'pg_net stand-in worker'
    );
    perform pg_sleep(0.05);
  end loop;
end
$$;

-- Percent-encodes all but letters, digits, `-`, `.`, `_` and `~`, as curl_easy_escape does.
create function net._urlencode_string(string character varying) returns text
language sql
immutable
as $$
  select coalesce(string_agg(
    case
      when octet between 48 and 57 or octet between 65 and 90 or octet between 97 and 122
        or octet in (45, 46, 95, 126)
        then chr(octet)
      else '%' || upper(lpad(to_hex(octet), 2, '0'))
    end, '' order by position), '')
  from (
    select position, get_byte(convert_to(string, 'UTF8'), position) as octet
    from generate_series(0, octet_length(convert_to(string, 'UTF8')) - 1) as position
  ) as octets
  where string is not null
  having string is not null
$$;

-- Appends `key=value` pairs, already encoded, to a URL's query, before any fragment. Like libcurl, it refuses what is no
-- URL of the web, and gives a URL without a path the path `/`.
create function net._encode_url_with_params_array(url text, params_array text[]) returns text
language plpgsql
immutable
as $$
declare
  v_parts text[] := regexp_match(url, '^(https?://[^/?#\s]+)([^?#\s]*)(\?[^#\s]*)?(#\S*)?$', 'i');
  v_query text;
begin
  if url is null or params_array is null then
    return null;
  end if;
  if v_parts is null then
    raise exception 'invalid URL "%": %', url, case
      when url ~* '^[a-z][a-z0-9+.-]*:' and url !~* '^https?:' then 'Unsupported URL scheme'
      else 'Malformed input to a URL function'
    end;
  end if;
  v_query := concat_ws(
    '&', nullif(substr(coalesce(v_parts[3], ''), 2), ''), nullif(array_to_string(params_array, '&'), '')
  );
  return v_parts[1]
    || coalesce(nullif(v_parts[2], ''), '/')
    || case when v_query = '' then '' else '?' || v_query end
    || coalesce(v_parts[4], '');
end
$$;

create function net._encoded_params(params jsonb) returns text[]
language sql
immutable
as $$
  select coalesce(array_agg(net._urlencode_string(key) || '=' || net._urlencode_string(value)), '{}')
  from jsonb_each_text(params)
$$;
comment on function net._encoded_params(jsonb) is 'Of the stand-in only: pg_net has it written out in each function';

create function net.http_get(
  url text,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{}'::jsonb,
  timeout_milliseconds integer default 5000
) returns bigint
language plpgsql
as $$
declare
  v_request_id bigint;
begin
  insert into net.http_request_queue (method, url, headers, timeout_milliseconds)
  values (
    'GET',
    net._encode_url_with_params_array(http_get.url, net._encoded_params(params)),
    http_get.headers,
    http_get.timeout_milliseconds
  )
  returning id into v_request_id;
  perform net.wake();
  return v_request_id;
end
$$;

create function net.http_post(
  url text,
  body jsonb default '{}'::jsonb,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{"Content-Type": "application/json"}'::jsonb,
  timeout_milliseconds integer default 5000
) returns bigint
language plpgsql
as $$
declare
  v_request_id bigint;
  v_headers jsonb := headers;
  v_content_type text;
begin
  select value into v_content_type
  from jsonb_each_text(coalesce(v_headers, '{}'))
  where lower(key) = 'content-type'
  limit 1;
  if v_content_type is null then
    v_headers := v_headers || '{"Content-Type": "application/json"}';
  elsif v_content_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;

  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    'POST',
    net._encode_url_with_params_array(http_post.url, net._encoded_params(params)),
    v_headers,
    convert_to(http_post.body::text, 'UTF8'),
    http_post.timeout_milliseconds
  )
  returning id into v_request_id;
  perform net.wake();
  return v_request_id;
end
$$;

create function net.http_delete(
  url text,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{}'::jsonb,
  timeout_milliseconds integer default 5000,
  body jsonb default null
) returns bigint
language plpgsql
as $$
declare
  v_request_id bigint;
begin
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    'DELETE',
    net._encode_url_with_params_array(http_delete.url, net._encoded_params(params)),
    http_delete.headers,
    convert_to(http_delete.body::text, 'UTF8'),
    http_delete.timeout_milliseconds
  )
  returning id into v_request_id;
  perform net.wake();
  return v_request_id;
end
$$;

create type net.request_status as enum ('PENDING', 'SUCCESS', 'ERROR');
create type net.http_response as (status_code integer, headers jsonb, body text);
create type net.http_response_result as (status net.request_status, message text, response net.http_response);

create function net._await_response(request_id bigint) returns boolean
language plpgsql
as $$
begin
  while not exists (select from net._http_response where id = request_id) loop
    perform pg_sleep(0.05);
  end loop;
  return true;
end
$$;

create function net._http_collect_response(request_id bigint, async boolean default true)
returns net.http_response_result
language plpgsql
as $$
declare
  v_response net._http_response;
begin
  if not async then
    perform net._await_response(request_id);
  end if;
  select * into v_response from net._http_response where id = request_id;
  if not found or v_response.error_msg is not null then
    return row('ERROR', coalesce(v_response.error_msg, 'request matching request_id not found'), null);
  end if;
  return row(
    'SUCCESS', 'ok', row(v_response.status_code, v_response.headers, v_response.content)::net.http_response
  );
end
$$;

create function net.http_collect_response(request_id bigint, async boolean default true)
returns net.http_response_result
language plpgsql
as $$
begin
  raise notice 'The net.http_collect_response function is deprecated.';
  -- pg_net's discards the answer, which PL/pgSQL refuses: what fails there may not work here
  select net._http_collect_response(request_id, async);
end
$$;

-- as pg_net: any role may read queued headers and write responses
grant usage on schema net to public;
grant all on all sequences in schema net to public;
grant all on all tables in schema net to public;

-- as Supabase changes it after creation: get and post run as their owner, for its own roles only; delete is left alone
alter function net.http_get(text, jsonb, jsonb, integer) security definer set search_path = net;
alter function net.http_post(text, jsonb, jsonb, jsonb, integer) security definer set search_path = net;
revoke all on function net.http_get(text, jsonb, jsonb, integer) from public;
revoke all on function net.http_post(text, jsonb, jsonb, jsonb, integer) from public;
grant usage on schema net to postgres, anon, authenticated, service_role;
grant execute on function net.http_get(text, jsonb, jsonb, integer) to postgres, anon, authenticated, service_role;
grant execute on function net.http_post(text, jsonb, jsonb, jsonb, integer)
  to postgres, anon, authenticated, service_role;
