/** What the command line reads from the hub's tables. Names are the columns'; instants are ISO 8601 text. */
import type postgres from "postgres";
import { z } from "zod";
import { criticality, jobStatus, jobType, severity } from "../../supabase/functions/_shared/domain/job.ts";
import { subjectKind } from "../../supabase/functions/_shared/domain/incident.ts";
import { deliveryEvent, deliveryState } from "../../supabase/functions/_shared/domain/delivery.ts";
import { runStatus } from "../../supabase/functions/_shared/domain/run.ts";
import { redact } from "../../supabase/functions/_shared/rules/redact.ts";
import type { Hub } from "./hub_client.ts";

const text = z.string().nullable();
const number = z.number().nullable();
const instant = z.date().transform((date) => date.toISOString());

const jobRow = z.object({
  id: z.string(),
  project_name: z.string(),
  job_type: jobType,
  job_name: z.string(),
  /** Database role that pg_cron runs it as. */
  job_user: text,
  job_id: number,
  schedule: text,
  /** `cron.timezone` of its project, where it was read. */
  time_zone: text,
  pg_cron_version: text,
  active: z.boolean(),
  expected_interval_minutes: number,
  description: text,
  success_criteria: text,
  criticality: criticality.nullable(),
  alert_channel: text,
  owner: text,
  runbook_url: text,
  grace_minutes: number,
  max_runtime_minutes: number,
  failure_threshold: number,
  min_rows: number,
  check_body_ok: z.boolean().nullable(),
  /** What is doubtful about the HTTP calls in its command. */
  warnings: z.array(z.string()),
  success_check_sql: text,
  /** Of edge functions and webhooks: what is asked whether it is well. */
  health_check_url: text,
  health_check_header: text,
  health_check_status: text,
  health_check_body: text,
  health_check_timeout_ms: number,
  health_check_max_ms: number,
  /** Of edge functions. */
  max_error_percent: number,
  min_invocations: number,
  max_silence_minutes: number,
  first_seen_at: instant,
  last_seen_at: instant.nullable(),
  /** Set while the job does not exist. */
  removed_at: instant.nullable(),
  /** What the last check concluded; `null`: no check has judged it. */
  status: jobStatus.nullable(),
  verdict: text,
  summary: text,
  status_since: instant.nullable(),
  last_run_at: instant.nullable(),
  last_success_at: instant.nullable(),
  consecutive_failures: number,
  checked_at: instant.nullable(),
});
/** A row of `job_inventory` with its `job_state`. */
export type Job = z.infer<typeof jobRow>;

/** Which jobs. */
export interface JobFilter {
  project?: string | undefined;
  name?: string | undefined;
  /** Default `existing`; `all` adds those that are gone, whose annotations are kept. */
  which?: "existing" | "all";
}

/** Jobs by project, name and role. */
export function readJobs(hub: Hub, { project, name, which = "existing" }: JobFilter = {}): Promise<Job[]> {
  return hub.rows("read the jobs", jobRow, (sql) =>
    sql`
      select i.id, i.project_name, i.job_type, i.job_name, i.job_user, i.job_id::float8, i.schedule,
             p.settings ->> 'timeZone' as time_zone, p.settings ->> 'pgCronVersion' as pg_cron_version, i.active,
             i.expected_interval_minutes::float8, i.description, i.success_criteria, i.criticality, i.alert_channel,
             i.owner, i.runbook_url, i.grace_minutes::float8, i.max_runtime_minutes::float8, i.failure_threshold,
             i.min_rows::float8, i.check_body_ok, to_jsonb(i.warnings) as warnings, i.success_check_sql,
             i.health_check_url, i.health_check_header, i.health_check_status, i.health_check_body,
             i.health_check_timeout_ms, i.health_check_max_ms, i.max_error_percent::float8, i.min_invocations,
             i.max_silence_minutes::float8, i.first_seen_at, i.last_seen_at, i.removed_at,
             s.status, s.verdict, s.summary, s.status_since, s.last_run_at, s.last_success_at,
             s.consecutive_failures, s.checked_at
      from public.job_inventory i
      left join public.job_state s on s.job_inventory_id = i.id
      left join public.project_state p on p.project_name = i.project_name
      where (${which === "all"} or i.removed_at is null)
        and (${project ?? null}::text is null or i.project_name = ${project ?? null})
        and (${name ?? null}::text is null or i.job_name = ${name ?? null})
      order by i.project_name, i.job_name, i.job_type, i.job_user`);
}

const projectRow = z.object({
  name: z.string(),
  /** `false`: neither discovered nor checked. */
  enabled: z.boolean(),
  project_ref: text,
  /** Whether it could be read the last time; `null`: nobody has looked yet. */
  status: z.enum(["ok", "error", "unknown"]).nullable(),
  error_code: text,
  error_message: text,
  status_since: instant.nullable(),
  last_read_at: instant.nullable(),
  jobs: z.number(),
  edge_functions: z.number(),
  healthy: z.number(),
  failed: z.number(),
  missed: z.number(),
  unknown: z.number(),
  paused: z.number(),
  open_incidents: z.number(),
});
/** A project with what the hub knows of it. `jobs` counts those of pg_cron. */
export type Project = z.infer<typeof projectRow>;

/** Every project that has a row in `monitored_projects` or was looked at, by name. */
export function readProjects(hub: Hub): Promise<Project[]> {
  return hub.rows("read the projects", projectRow, (sql) =>
    sql`
      with names as (
        select name from public.monitored_projects
        union select project_name from public.project_state
        union select project_name from public.job_inventory
      )
      select n.name, coalesce(m.enabled, true) as enabled, coalesce(m.project_ref, j.project_ref) as project_ref,
             p.status, p.error_code, p.error_message, p.status_since, p.last_read_at,
             coalesce(j.jobs, 0) as jobs, coalesce(j.edge_functions, 0) as edge_functions,
             coalesce(j.healthy, 0) as healthy, coalesce(j.failed, 0) as failed, coalesce(j.missed, 0) as missed,
             coalesce(j.unknown, 0) as unknown, coalesce(j.paused, 0) as paused,
             (select count(*)::integer from public.incidents i
              where i.project_name = n.name and i.resolved_at is null) as open_incidents
      from names n
      left join public.monitored_projects m on m.name = n.name
      left join public.project_state p on p.project_name = n.name
      left join (
        select i.project_name, max(i.project_id) as project_ref,
               (count(*) filter (where i.job_type = 'pg_cron'))::integer as jobs,
               (count(*) filter (where i.job_type = 'edge_function'))::integer as edge_functions,
               (count(*) filter (where s.status = 'healthy'))::integer as healthy,
               (count(*) filter (where s.status = 'failed'))::integer as failed,
               (count(*) filter (where s.status = 'missed'))::integer as missed,
               (count(*) filter (where s.status = 'unknown'))::integer as unknown,
               (count(*) filter (where s.status = 'paused'))::integer as paused
        from public.job_inventory i
        left join public.job_state s on s.job_inventory_id = i.id
        where i.removed_at is null
        group by i.project_name
      ) j on j.project_name = n.name
      order by n.name`);
}

const incidentRow = z.object({
  id: z.string(),
  project_name: z.string(),
  subject_kind: subjectKind,
  subject_id: z.string(),
  /** Name of the job, where it is about one. */
  job_name: text,
  job_user: text,
  owner: text,
  runbook_url: text,
  code: z.string(),
  severity,
  summary: z.string(),
  opened_at: instant,
  last_seen_at: instant,
  resolved_at: instant.nullable(),
  resolution: text,
  /** What became of the messages about its beginning, each state once. */
  alerts: z.array(deliveryState),
  /** Who took it on: no more reminders and no escalation since. */
  acknowledged_at: instant.nullable(),
  acknowledged_by: text,
  acknowledgement_note: text,
  /** Who said that nothing was wrong. */
  false_alarm_at: instant.nullable(),
  false_alarm_by: text,
  /** Who closed it by hand. */
  resolved_by: text,
  /** Every message about it, counted by row of `alert_config`, event and state; the newest first. */
  messages: z.array(z.object({
    /** The row's name, or its channel; `null`: no row takes it. */
    row: text,
    channel: text,
    event: deliveryEvent,
    state: deliveryState,
    count: z.number(),
    /** When the last of them was sent or ended, or was owed. */
    at: z.iso.datetime({ offset: true }).transform((at) => new Date(at).toISOString()),
    /** What it waits for, or why it was not sent. */
    reason: text,
  })),
  /** Of the incidents of its job and condition within 90 days, how many were false alarms. */
  false_alarms: z.object({ incidents: z.number(), false_alarms: z.number(), rate: z.number() }).nullable(),
});
type IncidentRow = z.infer<typeof incidentRow>;

/** An incident with its job, who was told of it, and who does something about it. */
export interface Incident extends IncidentRow {
  /** The silence that keeps it from being told; `null`: none does. */
  silenced: { id: string; until: string; by: string; reason: string } | null;
}

/** Which incidents. */
export interface IncidentFilter {
  project?: string | undefined;
  /** Default `open`; `all` adds resolved ones, newest first. */
  which?: "open" | "all";
  /** Only those that began since then, ISO 8601. */
  since?: string | undefined;
  /** Default 100. */
  limit?: number;
}

/** Incidents, unresolved first, then the newest first. */
export function readIncidents(
  hub: Hub,
  { project, which = "open", since, limit = 100 }: IncidentFilter = {},
): Promise<IncidentRow[]> {
  return hub.rows("read the incidents", incidentRow, (sql) =>
    sql`
      with false_alarms as materialized (select * from public.false_alarms)
      select i.id, i.project_name, i.subject_kind, i.subject_id, j.job_name, j.job_user, j.owner, j.runbook_url,
             i.code, i.severity, i.summary, i.opened_at, i.last_seen_at, i.resolved_at, i.resolution,
             to_jsonb(array(
               select distinct d.state from public.alert_deliveries d
               join public.delivery_incidents t on t.delivery_id = d.id
               where t.incident_id = i.id and d.event = 'opened' order by d.state)) as alerts,
             i.acknowledged_at, i.acknowledged_by, i.acknowledgement_note, i.false_alarm_at, i.false_alarm_by,
             i.resolved_by, m.messages,
             (select jsonb_build_object('incidents', f.incidents, 'false_alarms', f.false_alarms, 'rate', f.rate)
              from false_alarms f
              where f.project_name = i.project_name and f.code = i.code
                and f.subject = coalesce(j.job_name, i.subject_id)) as false_alarms
      from public.incidents i
      left join public.job_inventory j on j.id = i.job_inventory_id
      cross join lateral (
        select coalesce(jsonb_agg(to_jsonb(counted) order by counted.at desc), '[]') as messages
        from (
          select coalesce(c.name, c.channel) as row, d.channel, d.event, d.state, count(*) as count,
                 max(coalesce(d.sent_at, d.settled_at, d.created_at)) as at,
                 (array_agg(coalesce(d.held_reason, d.last_error) order by d.created_at desc, d.id))[1] as reason
          from public.delivery_incidents t
          join public.alert_deliveries d on d.id = t.delivery_id
          left join public.alert_config c on c.id = d.alert_config_id
          where t.incident_id = i.id
          group by 1, 2, 3, 4) as counted) as m
      where (${which === "all"} or i.resolved_at is null)
        and (${since ?? null}::text is null or i.opened_at >= ${since ?? null}::text::timestamptz)
        and (${project ?? null}::text is null or i.project_name = ${project ?? null})
      order by (i.resolved_at is null) desc, i.opened_at desc, i.id
      limit ${limit}`);
}

const rateRow = z.object({ incidents: z.number(), false_alarms: z.number() });

/** How often somebody said that nothing was wrong, over the incidents of 90 days. */
export interface FalseAlarmRate {
  incidents: number;
  false_alarms: number;
  /** 0 to 1; `null`: there was no incident. */
  rate: number | null;
}

/** The rate of false alarms of a project, or of all. */
export async function readFalseAlarmRate(hub: Hub, project?: string): Promise<FalseAlarmRate> {
  const [row] = await hub.rows("read the rate of false alarms", rateRow, (sql) =>
    sql`
      select coalesce(sum(incidents), 0)::float8 as incidents, coalesce(sum(false_alarms), 0)::float8 as false_alarms
      from public.false_alarms
      where ${project ?? null}::text is null or project_name = ${project ?? null}`);
  const { incidents, false_alarms } = row ?? { incidents: 0, false_alarms: 0 };
  return { incidents, false_alarms, rate: incidents === 0 ? null : false_alarms / incidents };
}

const incidentNameRow = z.object({
  id: z.string(),
  project_name: z.string(),
  subject: z.string(),
  code: z.string(),
  resolved_at: instant.nullable(),
  acknowledged_at: instant.nullable(),
  acknowledged_by: text,
  false_alarm_by: text,
});
/** As much of an incident as tells which one it is, and whether anything is left to do. */
export type IncidentName = z.infer<typeof incidentNameRow>;

/** The incidents whose ids begin so, in order of the prefixes; `[]` for none. */
export function readIncidentsByPrefix(hub: Hub, prefixes: readonly string[]): Promise<IncidentName[]> {
  return hub.rows("look for the incident", incidentNameRow, (sql) =>
    sql`
      select id, project_name, coalesce(subject, id::text) as subject, code, resolved_at, acknowledged_at,
             acknowledged_by, false_alarm_by
      from public.incident_overview
      where exists (
        select from unnest(string_to_array(${prefixes.join(",")}::text, ',')) as prefix
        where starts_with(id::text, prefix))
      order by opened_at desc, id
      limit 1000`);
}

const runRow = z.object({
  id: z.string(),
  job_name: z.string(),
  job_user: text,
  /** `null`: its row of the inventory is gone. */
  job_type: jobType.nullable(),
  /** `missed` is a slot without a run; of edge functions and health checks a row is a look. */
  status: runStatus,
  /** As alerts quote it: without what looks like a secret. */
  error_message: text.transform((message) => message === null ? null : redact(message)),
  /** Start of the run, or the slot. */
  run_at: instant.nullable(),
  run_id: number,
  duration_ms: number,
  source: z.string(),
  collected_at: instant,
});
/** A row of `job_health_log`. */
export type LoggedRun = z.infer<typeof runRow>;

/** Which part of the log. */
export interface HistoryFilter {
  project: string;
  job?: string | undefined;
  /** Default 50. */
  limit?: number;
}

/** Runs and missed slots as the checks logged them, the last collected first. */
export function readHistory(hub: Hub, { project, job, limit = 50 }: HistoryFilter): Promise<LoggedRun[]> {
  const ofJob = (sql: postgres.Sql) =>
    job === undefined ? sql`` : sql`
        and l.job_inventory_id in (
          select id from public.job_inventory where project_name = ${project} and job_name = ${job})`;
  return hub.rows("read the history", runRow, (sql) =>
    sql`
      select l.id, l.job_name, i.job_user, i.job_type, l.status, l.error_message, l.run_at, l.run_id::float8,
             (extract(epoch from l.duration) * 1000)::float8 as duration_ms, l.source, l.collected_at
      from public.job_health_log l
      left join public.job_inventory i on i.id = l.job_inventory_id
      where l.project_name = ${project} ${ofJob(sql)}
      order by l.collected_at desc, l.run_at desc nulls last, l.id
      limit ${limit}`);
}

const successesKeptRow = z.object({ kept: z.boolean() });

/** Whether successful runs are logged one by one, or only counted (`app_settings.log_successes`). */
export async function readSuccessesKept(hub: Hub): Promise<boolean> {
  const [row] = await hub.rows("read the settings", successesKeptRow, (sql) =>
    sql`
      select not exists (
        select from public.app_settings where key = 'log_successes' and value = 'false') as kept`);
  return row?.kept ?? true;
}

const lastCheckRow = z.object({ ended_at: instant.nullable() });

/** When the last check that saw every project ended; `null`: there was none yet. */
export async function readLastCheck(hub: Hub): Promise<string | null> {
  const [row] = await hub.rows("read the log of checks", lastCheckRow, (sql) =>
    sql`
      select max(ended_at) as ended_at from public.check_runs
      where function_name = 'check-job-health' and status = 'complete'`);
  return row?.ended_at ?? null;
}

const channelRow = z.object({
  id: z.string(),
  name: text,
  channel: z.string(),
  criticality: z.string(),
  enabled: z.boolean(),
});
/** A row of `alert_config`, without its secrets. */
export type AlertChannel = z.infer<typeof channelRow>;

/** Where alerts go. */
export function readChannels(hub: Hub): Promise<AlertChannel[]> {
  return hub.rows(
    "read alert_config",
    channelRow,
    (sql) =>
      sql`select id, name, channel, criticality, enabled from public.alert_config order by channel, name, id`,
  );
}
