-- What became of the HTTP calls that cron jobs make, and what is wrong with their commands.

alter table public.job_inventory
  add column check_body_ok boolean,
  add column warnings text[] not null default '{}';
comment on column public.job_inventory.check_body_ok is 'For you: true: an HTTP answer whose JSON body says "ok": false counts as a failure, whatever its status. Needs monitored.http_post on the project.';
comment on column public.job_inventory.warnings is 'What discovery finds doubtful about the HTTP calls in the command: a function that does not exist, a timeout that is too short, a key in plain text.';

alter table public.job_state
  add column recent_calls jsonb not null default '[]';
comment on column public.job_state.recent_calls is 'What became of the HTTP calls of the last runs that made any, newest last.';

alter table public.project_state
  add column http jsonb not null default '{}';
comment on column public.project_state.http is 'pg_net at the last look: its queue, the last hour''s answers, and where reading of calls goes on (call_cursor, open_calls).';

create function monitoring.record_http(p_project text, p jsonb) returns void
language plpgsql
set search_path = ''
as $$
begin
  update public.job_inventory i
  set warnings = j.warnings
  from jsonb_to_recordset(coalesce(p -> 'jobs', '[]')) as j(id uuid, warnings text[])
  where i.id = j.id and j.warnings is not null and i.warnings is distinct from j.warnings;

  update public.job_state s
  set recent_calls = t.recent_calls
  from jsonb_to_recordset(coalesce(p -> 'states', '[]')) as t(job_inventory_id uuid, recent_calls jsonb)
  where s.job_inventory_id = t.job_inventory_id and t.recent_calls is not null
    and s.recent_calls is distinct from t.recent_calls;

  update public.project_state
  set http = p -> 'project_state' -> 'http'
  where project_name = p_project and jsonb_typeof(p -> 'project_state' -> 'http') = 'object';
end
$$;
comment on function monitoring.record_http(text, jsonb) is 'The part of record_observations() that is about HTTP calls.';
revoke execute on function monitoring.record_http(text, jsonb) from public;
