-- The real pg_cron, created by the superuser as on Supabase, and what Supabase then grants: nothing to PUBLIC, and to
-- `postgres` everything but writing cron.job past the functions.
-- Source of the rules: supabase/postgres, ansible/files/postgresql_extension_custom_scripts/pg_cron.

create extension pg_cron;

grant usage on schema cron to postgres with grant option;
grant all on all functions in schema cron to postgres with grant option;
grant all on all tables in schema cron to postgres with grant option;
revoke all on table cron.job from postgres;
grant select on table cron.job to postgres with grant option;

alter default privileges for role supabase_admin in schema cron grant all on tables to postgres with grant option;
alter default privileges for role supabase_admin in schema cron grant all on functions to postgres with grant option;
alter default privileges for role supabase_admin in schema cron grant all on sequences to postgres with grant option;
