-- Row level security on every table and nothing for the API's roles: Supabase's default privileges would otherwise
-- let anyone with the publishable key read the inventory.

do $$
declare
  v_table regclass;
begin
  for v_table in
    select c.oid::regclass
    from pg_catalog.pg_class c
    where c.relkind in ('r', 'p')
      and (
        c.relnamespace = 'monitoring'::regnamespace
        or (c.relnamespace = 'public'::regnamespace and c.relname in (
          'app_settings', 'monitored_projects', 'job_inventory', 'inventory_changes', 'project_state', 'job_state',
          'job_health_log', 'job_health_daily', 'check_runs', 'incidents', 'alert_config', 'alert_deliveries',
          'delivery_incidents'))
      )
  loop
    execute format('alter table %s enable row level security', v_table);
    execute format('revoke all on table %s from public, anon, authenticated', v_table);
  end loop;
end
$$;

revoke all on sequence public.inventory_changes_id_seq from public, anon, authenticated;
revoke execute on all functions in schema monitoring from public;
