-- A report of a time in which the monitor itself did not look must say so: what it knows of that time it read afterwards,
-- and what nobody read is not well.

create function monitoring.unwatched(p_since timestamptz, p_until timestamptz) returns jsonb
language sql
stable
set search_path = ''
as $$
  with looks as (
    select began_at as at from public.check_runs
    where function_name = 'check-job-health' and status in ('complete', 'partial')
      and began_at >= p_since and began_at < p_until
    union all
    select max(began_at) from public.check_runs
    where function_name = 'check-job-health' and status in ('complete', 'partial') and began_at < p_since
    union all
    select coalesce(min(began_at), now()) from public.check_runs
    where function_name = 'check-job-health' and status in ('complete', 'partial') and began_at >= p_until
  ), gaps as (
    select at, lead(at) over (order by at) as until from looks where at is not null
  ), inside as (
    select greatest(at, p_since) as at, least(until, p_until) - greatest(at, p_since) as lasted
    from gaps
    where until - at > interval '1 hour'
  ), told as (
    -- of a gap across the border no more than a look's distance is nothing to tell
    select at, extract(epoch from lasted) * 1000 as ms from inside where lasted > interval '15 minutes'
  )
  select jsonb_build_object(
    'firstLookAt', (
      select monitoring.epoch_ms(min(began_at)) from public.check_runs
      where function_name = 'check-job-health' and status in ('complete', 'partial')),
    'unwatchedMs', coalesce((select sum(ms) from told), 0),
    'longestMs', coalesce((select max(ms) from told), 0),
    'longestFrom', (select monitoring.epoch_ms(at) from told order by ms desc, at limit 1))
$$;
comment on function monitoring.unwatched(timestamptz, timestamptz) is
  'For how long check-job-health did not look: of each hour and more between two looks, the part within that time. What was before the first look that is known is not counted: nobody was to look then.';

revoke execute on all functions in schema monitoring from public;
