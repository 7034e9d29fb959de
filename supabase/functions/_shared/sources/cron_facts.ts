/** Reads what a project's pg_cron says: one connection, one round trip, read-only. Every SQL text sent there is here. */
import type postgres from "postgres";
import { z } from "zod";
import { AppError } from "../errors.ts";
import {
  type CronFacts,
  cronJob,
  type CronRun,
  cronRun,
  type CronSettings,
  runSession,
  type SuccessCheck,
} from "../domain/facts.ts";
import type { HttpReading } from "../domain/http.ts";
import type { WatchedProject } from "../domain/project.ts";
import { type ConnectOptions, withProject } from "./connect.ts";
import { parseHttp, sqlOfHttp } from "./http_calls.ts";
import { askReadOnly, isSessionOver } from "./read_only_query.ts";

/** Where the last look ended, or that no runs are wanted at all. */
export type ReadFrom =
  | {
    /** Highest run id read so far; `null`: none was. */
    cursor: number | null;
    /** Runs that had not ended. */
    openRunIds: readonly number[];
    /** Success checks to ask after a job's new success, or in any case. */
    successChecks?: readonly SuccessCheckRequest[];
    /** Lets the project know that the hub was here, where it wants to. */
    heartbeat?: boolean;
    /** Where reading of HTTP calls goes on; absent: nobody asks. */
    http?: HttpReading;
  }
  | "jobs only";

/** A query that a person wrote for a job. */
export interface SuccessCheckRequest {
  jobId: number;
  sql: string;
  /** `new success`: only where this look finds a successful run. */
  when: "new success" | "always";
}

/** Milliseconds that asking pg_net may take: its tables have one index between them. */
const HTTP_TIMEOUT_MS = 4_000;

const NO_RUNS = "select * from cron.job_run_details where false";

/** Bounds of one look. */
export interface ReadLimits {
  /** Runs of a first look, newest first. */
  firstRuns: number;
  /** How many run ids before those a first look searches for the last run of jobs that it has not met yet. */
  lookBackRuns: number;
  /** Runs in one answer of a later look. */
  pageRuns: number;
  /** Answers in one look; what is left is read by the next. */
  pages: number;
  /** Milliseconds that a statement may take on the project. */
  statementTimeoutMs: number;
}

/** What an edge function's memory and a project's patience allow. */
export const DEFAULT_READ_LIMITS: ReadLimits = {
  firstRuns: 1_000,
  lookBackRuns: 20_000,
  pageRuns: 5_000,
  pages: 10,
  statementTimeoutMs: 15_000,
};

/**
 * Reads jobs, settings, clock, launcher and runs. Time is never filtered on: `cron.job_run_details` has an
 * index on `runid` alone. Row security is switched off, so that rows hidden from the role are an error
 * instead of an empty answer.
 *
 * @throws {AppError} `unreachable`, `wrong_credentials`, `no_privilege`, `pg_cron_missing`, …: the code says why.
 */
export function readCronFacts(
  project: WatchedProject,
  from: ReadFrom,
  connect: ConnectOptions,
  limits: ReadLimits = DEFAULT_READ_LIMITS,
): Promise<CronFacts> {
  return withProject(project, connect, async (sql) => {
    const reading = from === "jobs only" ? undefined : from.http;
    const answer = await ask(
      sql,
      sqlOfLook(from, limits),
      limits,
      reading && sqlOfHttp(reading),
    );
    const first = parse(project, answer.facts);
    const http = reading ? { http: parseHttp(answer.http) } : {};
    if (from === "jobs only") return toFacts(first, "next", [], true);
    const restored = from.cursor !== null && (first.maxRunId === null || first.maxRunId < from.cursor);
    if (restored) {
      const again = parse(
        project,
        (await ask(sql, sqlOfLook({ cursor: null, openRunIds: [] }, limits), limits)).facts,
      );
      if (from.heartbeat === true && first.watchesHub) await leaveHeartbeat(sql);
      return { ...toFacts(again, "restored", again.runs, true), ...http };
    }
    const { runs, complete } = from.cursor === null
      ? { runs: first.runs, complete: true }
      : await readOn(sql, project, first, limits);
    const facts = toFacts(first, from.cursor === null ? "first" : "next", runs, complete);
    const alive = from.heartbeat !== true || !first.watchesHub || await leaveHeartbeat(sql);
    const stopped = alive ? null : LOST;
    const successChecks = await askSuccessChecks(sql, from.successChecks ?? [], facts, stopped);
    return { ...facts, ...http, successChecks };
  });
}

/** Reads further pages while the last one was full. */
async function readOn(sql: postgres.Sql, project: WatchedProject, first: Look, limits: ReadLimits) {
  const runs = [...first.runs];
  let full = first.runs.length === limits.pageRuns;
  for (let page = 1; full && page < limits.pages; page++) {
    const look = parse(
      project,
      (await ask(sql, sqlOfLook({ cursor: lastRunId(runs), openRunIds: [] }, limits), limits)).facts,
    );
    runs.push(...look.runs);
    full = look.runs.length === limits.pageRuns;
  }
  return { runs, complete: !full };
}

function lastRunId(runs: readonly CronRun[]): number | null {
  return runs.at(-1)?.runId ?? null;
}

/** Milliseconds that a project may take over the hub's heartbeat. */
const HEARTBEAT_MS = 2_000;

/**
 * Calls the one function that may write on a project, the only statement of ours that is not read-only. Its failure is
 * the project's to notice: it alerts when it has not heard of the hub.
 *
 * @returns Whether the session lives on.
 */
async function leaveHeartbeat(sql: postgres.Sql): Promise<boolean> {
  const left = sql.unsafe(
    `begin read write;
     set local statement_timeout = ${HEARTBEAT_MS};
     set local lock_timeout = ${HEARTBEAT_MS};
     set local search_path = pg_catalog;
     select monitoring_client.hub_was_here();
     commit`,
  ).simple();
  return await left.then(() => true, async (error) => {
    if (isSessionOver(error)) return false;
    return await sql.unsafe("rollback").then(() => true, () => false);
  });
}

/**
 * Whether the project has that function and we may call it. Only one that runs as its owner: as any other it would do
 * what somebody else wrote with our rights.
 */
const WATCHES_HUB = `exists (
      select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'monitoring_client' and p.proname = 'hub_was_here' and p.pronargs = 0 and p.prosecdef
        and has_schema_privilege(n.oid, 'usage') and has_function_privilege(p.oid, 'execute'))`;

/** Milliseconds that one success check may take, and all of a project together. */
const SUCCESS_CHECK_MS = 5_000;
const SUCCESS_CHECKS_MS = 30_000;

const LOST = "the connection was lost";

/** Asks each check on its own: one that is wrong or slow is its own finding. `stopped`: why none is asked any more. */
async function askSuccessChecks(
  sql: postgres.Sql,
  requests: readonly SuccessCheckRequest[],
  facts: CronFacts,
  stopped: string | null,
): Promise<SuccessCheck[]> {
  const succeeded = new Set(
    [...facts.runs, ...facts.reread].filter((run) => run.status === "succeeded").map((run) => run.jobId),
  );
  const deadline = Date.now() + SUCCESS_CHECKS_MS;
  const answers: SuccessCheck[] = [];
  for (const { jobId, sql: query, when } of requests) {
    if (when === "new success" && !succeeded.has(jobId)) continue;
    if (stopped === null && Date.now() > deadline) stopped = "the checks before took too long";
    if (stopped !== null) {
      answers.push({ jobId, held: null, error: `not asked: ${stopped}` });
      continue;
    }
    const { lost, ...answer } = await askSuccessCheck(sql, query);
    if (lost) stopped = LOST;
    answers.push({ jobId, ...answer });
  }
  return answers;
}

interface SuccessAnswer extends Pick<SuccessCheck, "held" | "error"> {
  /** The session is over. */
  lost: boolean;
}

const NOT_ONE_BOOLEAN = "it must answer one row with one boolean";
const BOOLEAN_TYPE = 16;

async function askSuccessCheck(sql: postgres.Sql, query: string): Promise<SuccessAnswer> {
  const answer = await askReadOnly(sql, query, {
    // two are enough to see that it is not one
    rows: 2,
    timeoutMs: SUCCESS_CHECK_MS,
    fault: (columns) => columns.length === 1 && columns[0]?.type === BOOLEAN_TYPE ? null : NOT_ONE_BOOLEAN,
  });
  switch (answer.kind) {
    case "lost":
      return { held: null, error: "the connection was lost while it was asked", lost: true };
    case "failed":
      return { held: null, error: answer.error, lost: false };
    case "rows": {
      const [[held] = []] = answer.rows;
      return answer.rows.length === 1 && typeof held === "boolean"
        ? { held, error: null, lost: false }
        : { held: null, error: NOT_ONE_BOOLEAN, lost: false };
    }
  }
}

const look = z.object({
  now: z.number(),
  serverStartedAt: z.number(),
  pgCronVersion: z.string().nullable(),
  settings: z.record(z.string(), z.string()).nullable(),
  maySeeSettings: z.boolean(),
  launcherAlive: z.boolean().nullable(),
  jobs: z.array(cronJob),
  runs: z.array(cronRun),
  reread: z.array(cronRun),
  sessions: z.array(runSession).nullable(),
  maxRunId: z.number().int().nullable(),
  watchesHub: z.boolean(),
});
type Look = z.infer<typeof look>;

function parse(project: WatchedProject, answer: unknown): Look {
  const parsed = look.safeParse(answer);
  if (parsed.success) return parsed.data;
  const paths = parsed.error.issues.slice(0, 3).map((issue) => issue.path.join(".")).join(", ");
  throw new AppError(
    "read_failed",
    `Cannot read project "${project.name}": pg_cron's tables are not as expected (${paths})`,
  );
}

function toFacts(look: Look, reading: CronFacts["reading"], runs: CronRun[], complete: boolean): CronFacts {
  const lastStart = runs.reduce((latest, run) => Math.max(latest, run.startedAt ?? 0), 0);
  return {
    now: look.now,
    serverStartedAt: look.serverStartedAt,
    settings: settingsOf(look),
    launcherAlive: look.launcherAlive,
    jobs: look.jobs,
    runs,
    reread: look.reread,
    sessions: look.sessions,
    successChecks: [],
    cursor: complete ? look.maxRunId : lastRunId(runs),
    reading,
    knownUntil: complete ? look.now : lastStart,
  };
}

/** Since when `cron.timezone` exists. */
const TIME_ZONE_SINCE = { major: 1, minor: 5 };

/**
 * Every setting of pg_cron is hidden from roles without pg_read_all_settings (`GUC_SUPERUSER_ONLY`), and defined only
 * where its library was loaded at the server's start.
 */
export function settingsOf(
  { settings, maySeeSettings, pgCronVersion }: Pick<Look, "settings" | "maySeeSettings" | "pgCronVersion">,
): CronSettings {
  const shown = settings ?? {};
  const logRun = shown["cron.log_run"];
  const readable = logRun !== undefined;
  const withoutTimeZone = readable || isBefore(pgCronVersion, TIME_ZONE_SINCE);
  return {
    timeZone: shown["cron.timezone"] ?? (withoutTimeZone ? "GMT" : null),
    logRun: readable ? logRun !== "off" : null,
    maxRunningJobs: Number(shown["cron.max_running_jobs"]) || null,
    pgCronVersion: pgCronVersion ?? "unknown",
    access: readable ? "readable" : maySeeSettings ? "not_loaded" : "no_privilege",
  };
}

function isBefore(version: string | null, { major, minor }: typeof TIME_ZONE_SINCE): boolean {
  const [, ofMajor, ofMinor] = /^(\d+)\.(\d+)/.exec(version ?? "") ?? [];
  if (ofMajor === undefined) return false;
  return Number(ofMajor) < major || (Number(ofMajor) === major && Number(ofMinor) < minor);
}

/** What one round trip brought back. */
interface Answer {
  facts: unknown;
  /** What the further statements answered, which may see no more than the first one did. */
  http: string | null | undefined;
}

/** Begins, bounds and ends the transaction in the one simple-protocol round trip that also asks. */
async function ask(sql: postgres.Sql, query: string, limits: ReadLimits, further = ""): Promise<Answer> {
  const results = await sql.unsafe(
    `begin transaction isolation level repeatable read, read only;
     set local statement_timeout = ${integer(limits.statementTimeoutMs)};
     set local lock_timeout = 3000;
     set local row_security = off;
     set local search_path = pg_catalog;
     ${query};
     ${further === "" ? "" : `set local statement_timeout = ${HTTP_TIMEOUT_MS}; ${further};`}
     commit`,
  ).simple() as unknown as { facts?: unknown; http?: string | null }[][];
  const rows = results.flat();
  const facts = rows.find((candidate) => candidate?.facts !== undefined)?.facts;
  const http = rows.find((candidate) => candidate?.http !== undefined)?.http;
  return { facts: typeof facts === "string" ? JSON.parse(facts) : facts, http };
}

/** Numbers go into the text itself, since the simple protocol takes no parameters. */
function integer(value: number): string {
  if (!Number.isSafeInteger(value)) throw new AppError("internal", `Expected a whole number, got "${value}"`);
  return String(value);
}

const EPOCH_MS = (column: string) => `round(extract(epoch from ${column}) * 1000)`;

const RUN = `json_build_object(
  'runId', d.runid, 'jobId', d.jobid, 'status', d.status,
  'message', left(d.return_message, case when d.status = 'failed' then 4000 else 200 end),
  'startedAt', ${EPOCH_MS("d.start_time")}, 'endedAt', ${EPOCH_MS("d.end_time")}, 'pid', d.job_pid)`;

/**
 * A look is answered by a fresh session, for which planning costs more than reading: so json and not jsonb, and sessions
 * from the function below `pg_stat_activity`, once, without that view's joins.
 */
function sqlOfLook(from: ReadFrom, limits: ReadLimits): string {
  const openRunIds = from === "jobs only" ? [] : from.openRunIds;
  return `with activity as materialized (
    select pid, usesysid, application_name, state, query, wait_event_type, wait_event, backend_type, backend_start
    from pg_stat_get_activity(null)
  ), runs as materialized (${runsOf(from, limits)}
  ), reread as materialized (
    select * from cron.job_run_details where runid = any (array[${
    openRunIds.map(integer).join(", ")
  }]::bigint[])
  )
  select json_build_object(
    'now', ${EPOCH_MS("clock_timestamp()")},
    'serverStartedAt', ${EPOCH_MS("pg_postmaster_start_time()")},
    'pgCronVersion', (select extversion from pg_extension where extname = 'pg_cron'),
    'settings', (select json_object_agg(name, setting) from pg_settings
                 where name in ('cron.timezone', 'cron.log_run', 'cron.max_running_jobs')),
    'maySeeSettings', pg_has_role(current_user, 'pg_read_all_settings', 'usage'),
    'launcherAlive', case when pg_has_role(current_user, 'pg_read_all_stats', 'usage') then ${LAUNCHER_ALIVE} end,
    'jobs', (select coalesce(json_agg(json_build_object(
               'jobId', j.jobid, 'jobName', j.jobname, 'userName', j.username, 'schedule', j.schedule,
               'command', left(j.command, 4000), 'database', j.database, 'active', j.active,
               'rowVersion', j.xmin::text) order by j.jobid), '[]')
             from cron.job j),
    'runs', (select coalesce(json_agg(${RUN} order by d.runid), '[]') from runs d),
    'reread', (select coalesce(json_agg(${RUN} order by d.runid), '[]') from reread d),
    'sessions', case when pg_has_role(current_user, 'pg_read_all_stats', 'usage') then ${SESSIONS} end,
    'maxRunId', (select max(runid) from cron.job_run_details),
    'watchesHub', ${WATCHES_HUB})::text as facts`;
}

/** Younger than this, a launcher that is there may be about to die, and one that is not there about to start. */
const SETTLED = "clock_timestamp() - interval '5 seconds'";

const LAUNCHER_ALIVE = `(select case when bool_or(backend_start < ${SETTLED}) then true
      when count(*) = 0 and pg_postmaster_start_time() < ${SETTLED} then false end
    from activity where application_name = 'pg_cron scheduler' or backend_type = 'pg_cron launcher')`;

/** What the sessions of runs in progress wait for, and who is in their way. */
const SESSIONS = `(select coalesce(json_agg(json_build_object(
      'pid', a.pid, 'waitsFor', a.wait_event_type || ':' || a.wait_event,
      'blockedBy', (select coalesce(json_agg(json_build_object(
          'pid', b.pid, 'userName', pg_get_userbyid(b.usesysid), 'state', b.state, 'query', left(b.query, 300))), '[]')
        from activity b where b.pid = any (pg_blocking_pids(a.pid))))), '[]')
    from activity a where a.backend_type <> 'pg_cron launcher' and a.pid in (
      select d.job_pid from (select * from runs union all select * from reread) d
      where d.status in ('starting', 'connecting', 'sending', 'running')))`;

function runsOf(from: ReadFrom, limits: ReadLimits): string {
  if (from === "jobs only") return NO_RUNS;
  return from.cursor === null ? newestRuns(limits) : runsAfter(from.cursor, limits);
}

function runsAfter(cursor: number, limits: ReadLimits): string {
  return `select * from cron.job_run_details where runid > ${integer(cursor)}
          order by runid limit ${integer(limits.pageRuns)}`;
}

/** The newest runs, and before those the last run of each job that they do not show. */
function newestRuns(limits: ReadLimits): string {
  return `with newest as materialized (
            select * from cron.job_run_details order by runid desc limit ${integer(limits.firstRuns)}
          ), floor as (select min(runid) as runid from newest)
          select * from newest
          union all
          (select distinct on (jobid) o.* from cron.job_run_details o, floor
           where o.runid < floor.runid and o.runid >= floor.runid - ${integer(limits.lookBackRuns)}
             and not exists (select from newest n where n.jobid = o.jobid)
           order by o.jobid, o.runid desc)`;
}
