/** Reads the runs of the past, from a project's own `cron.job_run_details` or from the hub's `job_health_log`. */
import type postgres from "postgres";
import { z } from "zod";
import {
  type CronJob,
  type CronRun,
  type CronSettings,
  cronSettings,
} from "../supabase/functions/_shared/domain/facts.ts";
import type { InventoryJob } from "../supabase/functions/_shared/domain/hub.ts";
import { UNANNOTATED } from "../supabase/functions/_shared/domain/job.ts";
import { runStatus } from "../supabase/functions/_shared/domain/run.ts";
import { AppError } from "../supabase/functions/_shared/errors.ts";
import { hubError } from "../supabase/functions/_shared/hub/client.ts";
import { readKnowledge } from "../supabase/functions/_shared/hub/knowledge.ts";
import { shownCronJobs } from "../supabase/functions/_shared/rules/inventory.ts";
import { DEFAULT_READ_LIMITS, readCronFacts } from "../supabase/functions/_shared/sources/cron_facts.ts";

/** Where the history is: at least one of `databaseUrl` and `hub`. */
export interface HistoryPlace {
  /** Name of the project. */
  project: string;
  /** The project's own Postgres: its whole history is there. */
  databaseUrl?: string;
  /** The hub: what people annotated, when jobs were changed, and the history where no `databaseUrl` is given. */
  hub?: postgres.Sql;
  /** PEM of a CA to trust besides the public ones. */
  caCert?: string | null;
}

/** A history, with what is needed to judge it. Instants are epoch milliseconds of the project's clock. */
export interface History {
  project: string;
  source: "cron.job_run_details" | "job_health_log";
  settings: CronSettings;
  /** The last start of its Postgres; 0: unknown. */
  serverStartedAt: number;
  /** Runs that began from here on are all in it; older ones may be. */
  since: number;
  /** When it was read. */
  until: number;
  shortened: boolean;
  jobs: HistoryJob[];
  /** By the instant from which they can be seen. `runId` ascends, and leaves out as many as are missing. */
  runs: (CronRun & { seenFrom: number })[];
}

/** A job, and when it existed with its present schedule. */
export interface HistoryJob {
  job: CronJob;
  row: InventoryJob;
  /** `Infinity`: nothing shows that it did. */
  shownFrom: number;
  shownUntil: number;
}

/** So many runs fit into the memory of a command line; what is older is left out. */
const MOST_RUNS = 1_000_000;
const CHUNK = DEFAULT_READ_LIMITS.pageRuns * DEFAULT_READ_LIMITS.pages;

/**
 * Reads a history back to so many milliseconds ago.
 *
 * @throws {AppError} why the project or the hub could not be read.
 */
export async function readHistory(place: HistoryPlace, lengthMs: number): Promise<History> {
  if (place.databaseUrl !== undefined) return await readProject(place, place.databaseUrl, lengthMs);
  if (place.hub !== undefined) return await readLog(place.project, place.hub, lengthMs);
  throw new AppError(
    "bad_request",
    `Cannot replay project "${place.project}": neither its Postgres URL nor a hub is given`,
  );
}

async function readProject(place: HistoryPlace, databaseUrl: string, lengthMs: number): Promise<History> {
  const { project: name, hub, caCert = null } = place;
  const connect = { caCert, connectTimeoutSeconds: 10 };
  const project = { name, databaseUrl, ref: null };
  const today = await readCronFacts(project, "jobs only", connect);
  const wanted = today.now - lengthMs;
  const oldest = await readCronFacts(project, { cursor: -1, openRunIds: [] }, connect, {
    ...DEFAULT_READ_LIMITS,
    pageRuns: 1,
    pages: 1,
  });
  const first = oldest.runs[0]?.runId ?? Infinity;
  let runs: CronRun[] = [];
  // backwards by numbers, which are indexed; one chunk more than wanted shows what every job did before
  for (let cursor = today.cursor ?? -1; cursor >= first && runs.length < MOST_RUNS;) {
    cursor -= CHUNK;
    const chunk = await readCronFacts(project, { cursor: Math.max(cursor, -1), openRunIds: [] }, connect);
    const before = runs[0]?.runId ?? Infinity;
    runs = [...chunk.runs.filter(({ runId }) => runId < before), ...runs];
    if ((runs.find(({ startedAt }) => startedAt !== null)?.startedAt ?? Infinity) < wanted) break;
  }
  const begin = runs.find(({ startedAt }) => startedAt !== null)?.startedAt ?? today.now;
  const since = Math.max(wanted, begin);
  const known = hub === undefined ? [] : (await readKnowledge(hub, name)).jobs;
  const changes = hub === undefined ? new Map<string, number>() : await readChanges(hub, name);
  return {
    project: name,
    source: "cron.job_run_details",
    settings: today.settings,
    serverStartedAt: today.serverStartedAt,
    since,
    until: today.now,
    shortened: since > wanted,
    jobs: jobsOf(today.jobs, known).map(({ job, row }) => ({
      job,
      row,
      shownFrom: Math.max(existedFrom(job, runs), changes.get(row.id) ?? -Infinity),
      shownUntil: Infinity,
    })),
    runs: ordered(runs),
  };
}

/** A job existed once it, or one that was created after it, ran: pg_cron numbers jobs as they are created. */
function existedFrom(job: CronJob, runs: readonly CronRun[]): number {
  return runs.find(({ jobId, startedAt }) => jobId >= job.jobId && startedAt !== null)?.startedAt ?? Infinity;
}

/** Jobs with their rows of the inventory, or rows without annotations. */
function jobsOf(
  jobs: readonly CronJob[],
  known: readonly InventoryJob[],
): { job: CronJob; row: InventoryJob }[] {
  const names = shownCronJobs(jobs, () => ({ command: null, expectedIntervalMinutes: null }));
  return jobs.map((job, index) => {
    const jobName = names[index]?.jobName ?? "";
    const row = known.find((one) =>
      one.jobType === "pg_cron" && one.jobName === jobName && (one.jobUser ?? job.userName) === job.userName
    );
    const { jobId, userName: jobUser, schedule, command, active } = job;
    const same = {
      jobType: "pg_cron" as const,
      jobName,
      jobUser,
      jobId,
      schedule,
      command,
      active,
      removedAt: null,
    };
    return { job, row: { ...UNANNOTATED, id: `job ${jobId}`, firstSeenAt: 0, ...row, ...same } };
  });
}

const stateRow = z.object({
  settings: cronSettings.nullable().catch(null),
  read_until: z.number().nullable(),
  keeps_successes: z.boolean(),
});

const logRow = z.object({
  job_id: z.number().int(),
  status: runStatus,
  error_message: z.string().nullable(),
  started_at: z.number(),
  ended_at: z.number().nullable(),
});

/** The hub's log holds what checks have seen, so it is judged from when each job was first seen until the last check. */
async function readLog(project: string, hub: postgres.Sql, lengthMs: number): Promise<History> {
  const knowledge = await readKnowledge(hub, project);
  const { settings, read_until: until } = await readState(project, hub);
  const changes = await readChanges(hub, project);
  const jobs = knowledge.jobs.flatMap((row): HistoryJob[] => {
    const { jobType, jobId, jobName, jobUser, schedule, active } = row;
    if (jobType !== "pg_cron" || jobId === null || jobUser === null || schedule === null) return [];
    const job = {
      jobId,
      jobName,
      userName: jobUser,
      schedule,
      command: row.command ?? "",
      database: "",
      active,
      // a history tells edits by its changes
      rowVersion: "",
    };
    const shownFrom = Math.max(row.firstSeenAt, changes.get(row.id) ?? -Infinity);
    return [{ job, row, shownFrom, shownUntil: row.removedAt ?? Infinity }];
  });
  const wanted = until - lengthMs;
  const since = Math.max(wanted, Math.min(until, ...jobs.map(({ row }) => row.firstSeenAt)));
  const { runs, cutOffAt } = await readLoggedRuns(project, hub, since);
  return {
    project,
    source: "job_health_log",
    settings,
    serverStartedAt: cutOffAt,
    since,
    until,
    shortened: since > wanted,
    jobs,
    runs: ordered(runs),
  };
}

async function readState(
  project: string,
  hub: postgres.Sql,
): Promise<{ settings: CronSettings; read_until: number }> {
  const [row] = await asHub(`read the state of project "${project}"`, () =>
    hub`
    select settings, round(extract(epoch from last_read_at) * 1000 + coalesce(clock_offset_ms, 0))::float8 as read_until,
      coalesce((select value from app_settings where key = 'log_successes'), 'true') <> 'false' as keeps_successes
    from project_state where project_name = ${project}`);
  const { settings, read_until, keeps_successes } = row === undefined
    ? { settings: null, read_until: null, keeps_successes: true }
    : stateRow.parse(row);
  if (settings === null || read_until === null) {
    throw new AppError("not_found", `Cannot replay project "${project}": no check has read it yet`);
  }
  if (!keeps_successes) {
    throw new AppError(
      "config_invalid",
      `Cannot replay project "${project}" from the hub: app_settings.log_successes is false, so that successful runs are not in its log; give the project's Postgres URL`,
    );
  }
  return { settings, read_until };
}

/** Runs since an instant, and a day's worth before it, so that jobs are known to have run. */
async function readLoggedRuns(
  project: string,
  hub: postgres.Sql,
  since: number,
): Promise<{ runs: CronRun[]; cutOffAt: number }> {
  const rows = await asHub(`read the log of project "${project}"`, () =>
    hub`
    select i.job_id::float8, l.status, l.error_message, round(extract(epoch from l.run_at) * 1000)::float8 as started_at,
      round(extract(epoch from l.run_at + l.duration) * 1000)::float8 as ended_at
    from job_health_log l join job_inventory i on i.id = l.job_inventory_id
    where l.project_name = ${project} and l.source = 'pg_cron' and l.status <> 'missed' and i.job_id is not null
      and l.run_at >= ${new Date(since - 24 * 60 * 60_000)} and l.collected_at >= ${new Date(
      since - 24 * 60 * 60_000,
    )}
    order by l.run_at desc limit ${MOST_RUNS}`);
  const logged = z.array(logRow).parse([...rows]).reverse();
  const cutOff = logged.filter(({ status }) => status === "unknown").map(({ started_at }) => started_at);
  return {
    runs: logged.map(({ job_id, status, error_message, started_at, ended_at }) => ({
      runId: 0,
      jobId: job_id,
      status: status === "success" ? "succeeded" : status === "failed" ? "failed" : "sending",
      message: error_message,
      startedAt: started_at,
      endedAt: ended_at,
      pid: null,
    })),
    // a run that never said how it ended was cut off by a restart
    cutOffAt: cutOff.length === 0 ? 0 : Math.max(...cutOff) + 1,
  };
}

/** By inventory id: since when each job has been as it is. */
async function readChanges(hub: postgres.Sql, project: string): Promise<Map<string, number>> {
  const rows = await asHub(
    `read the changes of project "${project}"`,
    () =>
      hub<{ id: string; since: number }[]>`
    select job_inventory_id as id, round(extract(epoch from max(noticed_at)) * 1000)::float8 as since
    from inventory_changes where project_name = ${project} and change in ('schedule', 'resumed', 'returned', 'job_id')
    group by job_inventory_id`,
  );
  return new Map(rows.map(({ id, since }) => [id, since]));
}

async function asHub<T>(doing: string, query: () => PromiseLike<T>): Promise<T> {
  try {
    return await query();
  } catch (error) {
    throw hubError(error, doing);
  }
}

/**
 * By start; a run without one (pg_cron before 1.6.3) has happened between its neighbours. Numbered anew, since a late
 * start has an early number; where rows were deleted, numbers go on missing.
 */
function ordered(runs: readonly CronRun[]): History["runs"] {
  let last = 0;
  let before = Infinity;
  const seen = runs.map((run) => {
    last = run.startedAt ?? run.endedAt ?? last;
    const missing = Math.max(0, run.runId - before - 1);
    before = run.runId;
    return { run, seenFrom: last, missing };
  });
  let runId = 0;
  return seen.sort((a, b) => a.seenFrom - b.seenFrom).map(({ run, seenFrom, missing }) => {
    runId += 1 + missing;
    return { ...run, seenFrom, runId };
  });
}
