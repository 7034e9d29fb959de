-- An error that tells an id would be a series of its own each time: the top errors would be ten of one kind, once each.

update public.metric_definitions
set description = 'The ten errors that AI actions of the last hour met most often, numbers and quoted values folded.',
    query = $q$select coalesce(action, 'none') as action, coalesce(left(
         regexp_replace(
           regexp_replace(left(error_message, 400), '"[^"]*"|''[^'']*''', '<value>', 'g'),
           '\m[0-9a-f]*[0-9][0-9a-f-]*\M|[0-9]+', '<n>', 'g'), 120), 'none') as error,
       count(*)
from public.ai_action_ledger where created_at >= now() - interval '1 hour' and status <> 'success'
group by 1, 2 order by 3 desc, 1, 2 limit 10$q$
where name = 'ai_errors_by_message_hourly' and query like '%left(error_message, 120)%';
