-- A report must come on the worst day too: with failures by the hundred thousand, each with a message of its own, and
-- with metrics of many labels. Messages are folded once, when they are logged; numbers are read in one pass.

create or replace function monitoring.fold_error(p_message text) returns text
language sql
immutable
set search_path = ''
as $$
  select regexp_replace(
    regexp_replace(left(coalesce(p_message, ''), 400),
      -- an apostrophe within a word opens no quotation
      '\m[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\M|"[^"\n]{0,200}"|(?<![[:alnum:]])''[^''\n]{0,200}''', '?', 'g'),
    '[0-9]+', '0', 'g')
$$;

alter table public.job_health_log
  add column folded_error text generated always as (
    case when status = 'failed' then monitoring.fold_error(error_message) end
  ) stored;
comment on column public.job_health_log.folded_error is 'error_message of a failure with ids, quoted values and numbers folded; reports group by it.';

-- of three hundred lines, these change: a copy of the others would hide it
do $$
declare
  v_before text := pg_get_functiondef('monitoring.report_facts(integer, date, date, integer)'::regprocedure);
  v_hourly constant text := '  ), hourly as materialized (';
  v_owed constant text := '  ), owed as materialized (';
  v_fold constant text := 'monitoring.fold_error(l.error_message) as folded';
  v_from integer := position(v_hourly in v_before);
  v_until integer := position(v_owed in v_before);
begin
  if v_from = 0 or v_until < v_from or position(v_fold in v_before) = 0 then
    raise exception 'cannot make reports faster: monitoring.report_facts is not as it was';
  end if;
  execute replace(
    left(v_before, v_from - 1) || $cte$  ), numbers as (
    -- each range by itself, so that only its days are read
    select m.metric_name, m.project_name, m.labels, m.recorded_at, m.value, true as present
    from public.system_metrics m
    where m.recorded_at >= p_from::timestamp at time zone 'UTC'
      and m.recorded_at < (p_from + p_days)::timestamp at time zone 'UTC'
      and m.value is not null and m.metric_name in (select name from series)
    union all
    select m.metric_name, m.project_name, m.labels, m.recorded_at, m.value, false
    from public.system_metrics m
    where m.recorded_at >= p_before::timestamp at time zone 'UTC'
      and m.recorded_at < (p_before + p_days)::timestamp at time zone 'UTC'
      and m.value is not null and m.metric_name in (select name from series)
  ), averaged as materialized (
    select metric_name, project_name, labels, avg(value) filter (where present) as average,
           avg(value) filter (where not present) as average_before, max(value) filter (where present) as most
    from numbers group by 1, 2, 3
  ), hourly as materialized (
    -- what is counted by the hour adds up, and only of costs does anybody want the sum
    select metric_name, project_name, labels, present, avg(value) as average
    from numbers where metric_name ~ '(^|_)(cost|tokens)(_|$)'
    group by 1, 2, 3, 4, date_trunc('hour', recorded_at)
  ), added as materialized (
    select metric_name, project_name, labels, sum(average) filter (where present) as hours_total,
           sum(average) filter (where not present) as hours_total_before
    from hourly group by 1, 2, 3
  ), measured as materialized (
    select a.metric_name as name, a.project_name, a.labels, a.average, a.average_before, a.most, h.hours_total,
           h.hours_total_before
    from averaged a
    left join added h using (metric_name, project_name, labels)
$cte$ || substr(v_before, v_until),
    v_fold, $fold$coalesce(l.folded_error, '') as folded$fold$);
end
$$;
