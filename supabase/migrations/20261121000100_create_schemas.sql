-- Extensions the hub needs, and the schema that holds the functions which move state.
-- An extension is created only where its schema is missing, so that a stand-in or an older installation is left alone.

do $$
begin
  if to_regnamespace('cron') is null then
    create extension pg_cron;
  end if;
  if to_regnamespace('net') is null then
    create extension pg_net;
  end if;
  if to_regnamespace('vault') is null then
    create extension supabase_vault cascade;
  end if;
end
$$;

create schema monitoring;
comment on schema monitoring is 'Functions and tables of the job monitor that no person edits. Not exposed through the API.';
revoke all on schema monitoring from public;

create function monitoring.touch_updated_at() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- seeing a job again is not a change of it
  if to_jsonb(new) - '{updated_at,last_seen_at}'::text[] is distinct from to_jsonb(old) - '{updated_at,last_seen_at}'::text[] then
    new.updated_at := now();
  end if;
  return new;
end
$$;
comment on function monitoring.touch_updated_at() is 'Trigger: sets updated_at when anything but last_seen_at changed.';
revoke execute on function monitoring.touch_updated_at() from public;
