-- For a watched project: takes away what install_http_calls.sql made. Change the cron commands back to net.http_post first:
-- while one still names monitored.http_post, this refuses.

do $$
declare
  v_jobs text;
begin
  if to_regclass('cron.job') is not null then
    execute $jobs$
      select string_agg(coalesce(jobname, 'job ' || jobid), ', ' order by jobid) from cron.job
      where command ~* '\mmonitored\s*\.\s*http_(post|get|delete)\M' $jobs$ into v_jobs;
  end if;
  if v_jobs is not null then
    raise exception 'cannot uninstall: these cron jobs still call by monitored.http_…: %', v_jobs
      using hint = 'change their commands to net.http_…, or unschedule them';
  end if;
end
$$;

drop schema if exists monitored cascade;
