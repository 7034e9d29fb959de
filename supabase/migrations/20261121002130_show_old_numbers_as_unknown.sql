-- A number that nobody has read for long is not known to be well, whatever it was: in dashboards and in reports.

create or replace view grafana.latest_metrics as
  select s.project_name, d.name as metric_name, d.unit, s.labels, s.value,
         case when s.recorded_at < now() - make_interval(mins => 15 + 3 * d.interval_minutes) then 'unknown' else s.severity end
           as severity,
         s.alarm, s.summary, s.recorded_at
  from public.metric_state s
  join public.metric_definitions d on d.id = s.metric_definition_id;
comment on view grafana.latest_metrics is 'The latest number of each series; unknown where it was not read for three intervals and 15 minutes.';

do $$
declare
  v_before text := pg_get_functiondef('monitoring.report_facts(integer, date, date, integer)'::regprocedure);
  v_read constant text := 's.value, s.severity, s.alarm, s.summary' || chr(10);
  v_told constant text := $told$'severity', r.severity, 'alarm', r.alarm,$told$;
begin
  if position(v_read in v_before) = 0 or position(v_told in v_before) = 0 then
    raise exception 'cannot tell old numbers in reports: monitoring.report_facts is not as it was';
  end if;
  execute replace(
    replace(v_before, v_read, $read$s.value, s.severity, s.alarm, s.summary, s.recorded_at,
           s.recorded_at < now() - make_interval(mins => 15 + 3 * d.interval_minutes) as stale
$read$),
    v_told, v_told || $told$ 'stale', r.stale, 'readAt', monitoring.epoch_ms(r.recorded_at),$told$);
end
$$;
