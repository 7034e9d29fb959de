/** Heartbeats as the command line sets them up and shows them. Instants are ISO 8601 text. */
import { z } from "zod";
import { jobStatus } from "../../supabase/functions/_shared/domain/job.ts";
import { faultMessage, isTimeZone, parseSchedule } from "../../supabase/functions/_shared/rules/schedule.ts";
import { closestNames } from "./closest_names.ts";
import { MonitorError } from "./errors.ts";
import type { Hub } from "./hub_client.ts";

const text = z.string().nullable();
const number = z.number().nullable();
const instant = z.date().transform((date) => date.toISOString());

const heartbeatRow = z.object({
  job_name: z.string(),
  /** `null`: the hub's, before the first healthcheck. */
  project_name: text,
  job_type: z.enum(["heartbeat", "webhook"]),
  schedule: text,
  time_zone: z.string(),
  expected_interval_minutes: number,
  grace_minutes: number,
  /** How it is now, or was at the last healthcheck where it has a schedule. */
  state: jobStatus,
  stale: z.boolean(),
  verdict: text,
  summary: text,
  /** `null`: it never said a word. */
  last_run_at: instant.nullable(),
  last_word: text,
  running_since: instant.nullable(),
  last_alert_at: instant.nullable(),
  alerts_quiet_until: instant.nullable(),
  /** URLs that work. */
  tokens: z.number(),
});
/** A heartbeat, and how it is. */
export type Heartbeat = z.infer<typeof heartbeatRow>;

/** Heartbeats by project and name. */
export function readHeartbeats(hub: Hub): Promise<Heartbeat[]> {
  return hub.rows("read the heartbeats", heartbeatRow, (sql) =>
    sql`
      select o.job_name, o.project_name, o.job_type, o.schedule, o.time_zone, o.expected_interval_minutes::float8,
             o.grace_minutes::float8, o.state, o.stale, o.verdict, o.summary,
             case when h.last_ping_id is not null then o.last_run_at end as last_run_at, o.last_word, o.running_since,
             o.last_alert_at, o.alerts_quiet_until, o.tokens::integer
      from public.heartbeat_overview o
      join public.job_heartbeats h using (job_name)
      order by o.project_name nulls first, o.job_name`);
}

/** What `cron-healthcheck` answers, as far as it matters here. */
export const heartbeatAnswer = z.object({ ok: z.literal(true), jobs: z.number() });

/** A heartbeat to set up. */
export interface NewHeartbeat {
  name: string;
  /** Default: the hub. */
  project?: string | undefined;
  /** Minutes between two runs; or else a schedule; or neither: 24 hours. */
  everyMinutes?: number | undefined;
  /** As in a crontab. */
  schedule?: string | undefined;
  /** Of the schedule; default UTC. */
  timeZone?: string | undefined;
  graceMinutes?: number | undefined;
  type?: "heartbeat" | "webhook" | undefined;
}

/** A heartbeat that has a new URL. */
export interface AddedHeartbeat {
  job_name: string;
  /** Whoever has it can ping: a secret, which the hub itself does not know. */
  url: string;
}

const tokenRow = z.object({ token: z.string() });

/**
 * Sets up a heartbeat.
 *
 * @param base The project's URL.
 * @throws {MonitorError} `invalid_value`.
 */
export async function addHeartbeat(hub: Hub, base: string, wanted: NewHeartbeat): Promise<AddedHeartbeat> {
  const { name, project = null, everyMinutes = null, schedule = null, graceMinutes = null } = wanted;
  const timeZone = wanted.timeZone ?? "UTC";
  checkSchedule(schedule, timeZone);
  const known = await namesOf(hub);
  if (known.includes(name)) {
    throw new MonitorError("invalid_value", `There is a heartbeat "${name}" already`, {
      hints: [`heartbeat rotate ${name} gives it another URL`],
    });
  }
  const [row] = await hub.rows(`add heartbeat "${name}"`, tokenRow, (sql) =>
    sql`
      select monitoring.create_heartbeat(
        ${name}, ${project}, ${everyMinutes}, ${schedule}, ${timeZone}, ${graceMinutes},
        ${wanted.type ?? "heartbeat"}) as token`);
  return { job_name: name, url: urlOf(base, row) };
}

function checkSchedule(schedule: string | null, timeZone: string): void {
  if (!isTimeZone(timeZone)) {
    throw new MonitorError("invalid_value", `"${timeZone}" is no time zone such as Europe/Berlin`);
  }
  if (schedule === null) return;
  const parsed = parseSchedule(schedule);
  if (parsed.kind === "invalid") throw new MonitorError("invalid_value", faultMessage(schedule, parsed));
  if (parsed.kind !== "cron") {
    throw new MonitorError("invalid_value", `Cannot expect a heartbeat by "${schedule}": give five fields`);
  }
}

/** Gives a heartbeat another URL. */
export async function rotateHeartbeat(
  hub: Hub,
  base: string,
  name: string,
  keepHours: number,
): Promise<AddedHeartbeat> {
  await expectHeartbeat(hub, name);
  const [row] = await hub.rows(`rotate the token of heartbeat "${name}"`, tokenRow, (sql) =>
    sql`
      select monitoring.rotate_heartbeat_token(${name}, make_interval(hours => ${keepHours}::integer)) as token`);
  return { job_name: name, url: urlOf(base, row) };
}

/** Removes a heartbeat. */
export async function removeHeartbeat(hub: Hub, name: string): Promise<void> {
  await expectHeartbeat(hub, name);
  await hub.rows(
    `remove heartbeat "${name}"`,
    z.object({ gone: z.boolean() }),
    (sql) => sql`select monitoring.remove_heartbeat(${name}) as gone`,
  );
}

async function expectHeartbeat(hub: Hub, name: string): Promise<void> {
  const known = await namesOf(hub);
  if (known.includes(name)) return;
  const candidates = closestNames(name, known);
  const hints = candidates.length === 0 ? ["See them all with heartbeat list"] : [];
  throw new MonitorError("not_found", `No heartbeat is called "${name}"`, { candidates, hints });
}

async function namesOf(hub: Hub): Promise<string[]> {
  const rows = await hub.rows(
    "read the heartbeats",
    z.object({ job_name: z.string() }),
    (sql) => sql`select job_name from public.job_heartbeats order by job_name`,
  );
  return rows.map(({ job_name }) => job_name);
}

function urlOf(base: string, row: { token: string } | undefined): string {
  return `${new URL(base).origin}/functions/v1/receive-heartbeat/${row?.token ?? ""}`;
}
