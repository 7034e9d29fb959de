/** What the hub knows of its own set-up: read for the doctor, judged elsewhere. */
import { z } from "zod";
import { alertRoute, channelName } from "../../supabase/functions/_shared/domain/delivery.ts";
import { reportKind } from "../../supabase/functions/_shared/domain/report.ts";
import type { Hub } from "./hub_client.ts";

const instant = z.iso.datetime({ offset: true }).nullable();

const facts = z.object({
  /** The hub's clock. */
  now: z.iso.datetime({ offset: true }),
  /** Versions that the CLI has recorded; `null`: nobody recorded any. */
  has_history: z.boolean(),
  schedules: z.array(z.object({
    job_name: z.string(),
    schedule: z.string(),
    state: z.enum(["on", "paused", "other", "missing"]),
  })),
  /** Which of what the schedules need is there. */
  has_url: z.boolean(),
  has_key: z.boolean(),
  functions: z.array(z.object({
    function_name: z.string(),
    /** Of the last invocation by the schedule or by hand. */
    last_began_at: instant,
    last_complete_at: instant,
    last_status: z.string(),
    last_error: z.string().nullable(),
    /** Began long ago and never ended. */
    died: z.number(),
  })),
  /** The first run of any function; `null`: there was none. */
  functions_since: instant,
  /** Heartbeats that are expected to say something. */
  heartbeats: z.number(),
  projects: z.array(z.object({
    project_name: z.string(),
    enabled: z.boolean(),
    status: z.string().nullable(),
    launcher_alive: z.boolean().nullable(),
    log_run: z.boolean().nullable(),
    read: z.boolean(),
  })),
  /** Who wants a report, with the last one that was owed to that target. */
  subscriptions: z.array(z.object({
    report: reportKind,
    enabled: z.boolean(),
    /** The row of `alert_config`. */
    id: z.string(),
    name: z.string().nullable(),
    channel: channelName,
    row_enabled: z.boolean(),
    /** What its vendor said, where nothing gets through. */
    dead: z.string().nullable(),
    /** When a person last wrote the subscription or the row. */
    since: z.iso.datetime({ offset: true }),
    /** First day of the last report; `null`: there was none. */
    period: z.string().nullable(),
    state: z.string().nullable(),
    error: z.string().nullable(),
  })),
  /** Rows of `alert_config`, read one by one elsewhere. */
  routes: z.array(z.unknown()),
  outbox: z.object({
    unroutable: z.number(),
    /** Let through, and not sent a quarter of an hour after they could have been. */
    overdue: z.number(),
    failed_today: z.number(),
    last_error: z.string().nullable(),
  }),
  /** Critical jobs, and what nobody has written about them. */
  critical_jobs: z.array(
    z.object({ project_name: z.string(), job_name: z.string(), lacks: z.array(z.string()) }),
  ),
  jobs_without_criticality: z.number(),
  jobs: z.number(),
});

/** A row of `alert_config`, or its id where it cannot be read. */
export type KnownRoute = { route: z.infer<typeof alertRoute> } | { unreadable: string };

/** Everything that {@link readFacts} reads. */
export interface DoctorFacts extends Omit<z.infer<typeof facts>, "routes"> {
  routes: KnownRoute[];
  /** Versions of applied migrations; `null`: the CLI has kept none. */
  migrations: string[] | null;
}

/** Reads it, in two round trips. */
export async function readFacts(hub: Hub): Promise<DoctorFacts> {
  const [row] = await hub.rows("look at the hub's set-up", z.object({ facts }), (sql) =>
    sql`
      with last as (
        select distinct on (function_name) function_name, began_at, status, error
        from public.check_runs
        where status <> 'running'
        order by function_name, began_at desc
      ), times as (
        select function_name, max(began_at) as last_began_at,
               max(ended_at) filter (where status = 'complete') as last_complete_at,
               (count(*) filter (where status = 'running' and began_at < now() - interval '10 minutes'
                                   and began_at > now() - interval '1 day'))::integer as died
        from public.check_runs group by function_name
      )
      select jsonb_build_object(
        'now', now(),
        'has_history', to_regclass('supabase_migrations.schema_migrations') is not null,
        'schedules', (
          select coalesce(jsonb_agg(jsonb_build_object(
            'job_name', s.job_name, 'schedule', s.schedule,
            'state', case when j.jobid is null then 'missing'
                          when not j.active then 'paused'
                          when j.schedule <> s.schedule or j.command <> s.command then 'other'
                          else 'on' end) order by s.job_name), '[]')
          from monitoring.schedules s
          left join cron.job j on j.jobname = s.job_name),
        'has_url', exists (select from vault.decrypted_secrets where name = 'project_url' and btrim(decrypted_secret) <> '')
          or exists (select from public.app_settings where key = 'edge_base_url' and btrim(value) <> ''),
        'has_key', exists (select from vault.decrypted_secrets
                           where name = 'monitor_secret_key' and btrim(decrypted_secret) <> ''),
        'functions', (
          select coalesce(jsonb_agg(jsonb_build_object(
            'function_name', t.function_name, 'last_began_at', t.last_began_at, 'last_complete_at', t.last_complete_at,
            'last_status', coalesce(l.status, 'running'), 'last_error', l.error, 'died', t.died)), '[]')
          from times t left join last l using (function_name)),
        'functions_since', (select min(began_at) from public.check_runs),
        'heartbeats', (select count(*) from public.job_heartbeats where active),
        'projects', (
          select coalesce(jsonb_agg(jsonb_build_object(
            'project_name', coalesce(s.project_name, m.name), 'enabled', coalesce(m.enabled, true), 'status', s.status,
            'launcher_alive', s.settings -> 'launcherAlive', 'log_run', s.settings -> 'logRun',
            'read', s.last_read_at is not null)), '[]')
          from public.project_state s
          full join public.monitored_projects m on m.name = s.project_name),
        'subscriptions', (
          select coalesce(jsonb_agg(jsonb_build_object(
            'report', s.report, 'enabled', s.enabled, 'id', c.id, 'name', c.name, 'channel', c.channel,
            'row_enabled', c.enabled, 'dead', case when h.status = 'dead' then h.reason end,
            'since', greatest(s.updated_at, c.updated_at), 'period', last.period, 'state', last.state,
            'error', last.last_error) order by s.report, c.created_at, c.id), '[]')
          from public.report_subscriptions s
          join public.alert_config c on c.id = s.alert_config_id
          left join public.channel_state h on h.alert_config_id = c.id
          left join lateral (
            select o.period, coalesce(d.state, 'sent') as state, d.last_error
            from public.report_sendings o
            left join public.alert_deliveries d on d.id = o.delivery_id
            -- rows that name one target get it once between them
            where o.report = s.report
              and (o.report_subscription_id = s.id or o.target_key = monitoring.alert_target_key(c))
            order by o.period desc, o.report_subscription_id = s.id desc
            limit 1) as last on true),
        'routes', (select coalesce(jsonb_agg(monitoring.alert_route_json(c) order by c.created_at, c.id), '[]')
                   from public.alert_config c),
        'outbox', (
          select jsonb_build_object(
            'unroutable', count(*) filter (where state = 'unroutable'),
            'overdue', count(*) filter (where state = 'due' and admitted_at < now() - interval '15 minutes'),
            'failed_today', count(*) filter (where state = 'failed' and settled_at > now() - interval '1 day'),
            'last_error', (array_agg(last_error order by created_at desc)
                           filter (where state in ('due', 'failed') and last_error is not null
                                     and created_at > now() - interval '1 day'))[1])
          from public.alert_deliveries
          where state in ('due', 'unroutable') or (state = 'failed' and settled_at > now() - interval '1 day')),
        'critical_jobs', (
          select coalesce(jsonb_agg(jsonb_build_object(
            'project_name', project_name, 'job_name', job_name,
            'lacks', array_remove(array[
              case when owner is null then 'owner' end,
              case when description is null then 'description' end,
              case when runbook_url is null then 'runbook_url' end], null)) order by project_name, job_name), '[]')
          from public.job_inventory
          where criticality = 'critical' and removed_at is null),
        'jobs_without_criticality', (
          select count(*) from public.job_inventory
          where criticality is null and removed_at is null and job_type = 'pg_cron' and active),
        'jobs', (select count(*) from public.job_inventory where removed_at is null)
      ) as facts`);
  const read = facts.parse(row?.facts);
  return {
    ...read,
    routes: read.routes.map((value) => {
      const parsed = alertRoute.safeParse(value);
      if (parsed.success) return { route: parsed.data };
      return { unreadable: z.object({ id: z.string() }).safeParse(value).data?.id ?? "?" };
    }),
    migrations: read.has_history ? await readMigrations(hub) : null,
  };
}

async function readMigrations(hub: Hub): Promise<string[]> {
  const rows = await hub.rows(
    "read the applied migrations",
    z.object({ version: z.string() }),
    (sql) => sql`select version from supabase_migrations.schema_migrations order by version`,
  );
  return rows.map(({ version }) => version);
}

/** The key with which the schedules call the functions, to try it: never shown. */
export async function readScheduleKey(hub: Hub): Promise<string> {
  const [row] = await hub.rows(
    "read the schedules' key",
    z.object({ key: z.string() }),
    (sql) =>
      sql`select btrim(decrypted_secret) as key from vault.decrypted_secrets where name = 'monitor_secret_key'`,
  );
  return row?.key ?? "";
}
