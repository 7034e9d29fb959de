/**
 * Jobs for a stack that shows something: really scheduled in pg_cron, harmless, most of them healthy, and with a little
 * back-dated history, labelled as such, so that the very first check finds one failed and one missed job.
 */
import type postgres from "postgres";

/** What a demo job's history before its first run looks like. */
type History = "healthy" | "failing" | "stopped" | "none";

/** A job of the demo. */
interface DemoJob {
  /** `null`: scheduled without a name. */
  name: string | null;
  schedule: string;
  /** Time between two slots, and of the first one after midnight UTC, in minutes. */
  slots: { every: number; from: number };
  command: string;
  history: History;
  /** Role that it runs as. Default `postgres`. */
  user?: typeof SECOND_USER;
  state?: "paused";
  /** Needs pg_cron 1.5. */
  interval?: "seconds";
}

/** A database that gets demo jobs. */
export interface DemoTarget {
  project: string;
  /** A client as `supabase_admin`: only a superuser schedules for another role and writes history. */
  admin: postgres.Sql;
  /** A client as `postgres`, who owns the demo. */
  sql: postgres.Sql;
  /** Where the job that calls `net.http_post` finds a function; only the hub has pg_net. */
  functionsUrl: string;
}

/** What the stack tells of one demo. */
export interface DemoResult {
  project: string;
  created: number;
  kept: number;
}

/** Every second project has an application of its own that schedules jobs under its own role. */
const SECOND_USER = "crm_app";
/** Only the hub has pg_net here. */
const INSTALL_HTTP_CALLS = new URL("../../supabase/watched_project/install_http_calls.sql", import.meta.url);
const HISTORY_LABEL = "back-dated demo history";
const HISTORY_RUNS = 10;
/** How many of its last runs a failing job has failed. */
const FAILED_RUNS = 3;
/** How many of its last slots a stopped job has not met. */
const STOPPED_FOR_SLOTS = 4;

/** Creates the demo jobs of a project that are not there yet; what is there stays as it is. */
export async function createDemoJobs(target: DemoTarget): Promise<DemoResult> {
  const { admin, project } = target;
  const [server] = await admin<{ now: Date; version: string }[]>`
    select now(), (select extversion from pg_extension where extname = 'pg_cron') as version`;
  if (server === undefined) throw new Error(`Cannot create demo jobs in "${project}": no answer`);
  await createDemoSchema(target);
  if (project === "thordata") await target.sql.unsafe(await Deno.readTextFile(INSTALL_HTTP_CALLS));
  const jobs = demoJobs(project, server.now, target.functionsUrl)
    .filter((job) => job.interval !== "seconds" || atLeast(server.version, 1, 5));
  const created: { jobId: string; job: DemoJob }[] = [];
  for (const job of jobs) {
    if (!(await exists(admin, job))) created.push({ jobId: await schedule(target, job), job });
  }
  await insertHistory(admin, created, server.now);
  return { project, created: created.length, kept: jobs.length - created.length };
}

/** The jobs of a project. Names are those of a lead generation, a CRM and a scraping team. */
function demoJobs(project: string, now: Date, functionsUrl: string): DemoJob[] {
  const minutely = { every: 1, from: 0 };
  // So that its next run, which ends the finding, is well ahead.
  const hourlyMinute = (now.getUTCMinutes() + 40) % 60;
  const catalogue: Record<string, DemoJob[]> = {
    smoothed: [
      {
        name: "sync_leads",
        schedule: "*/5 * * * *",
        slots: { every: 5, from: 0 },
        command: "insert into demo.items (key) values ('lead ' || extract(minute from now())) " +
          "on conflict (key) do update set seen_at = now()",
        history: "healthy",
      },
      {
        name: "score_leads",
        schedule: "* * * * *",
        slots: minutely,
        command: "update demo.items set score = (score * 7 + 3) % 100",
        history: "healthy",
      },
      {
        name: null,
        schedule: "0 3 * * *",
        slots: { every: 1440, from: 180 },
        command: "delete from demo.items where seen_at < now() - interval '30 days'",
        history: "healthy",
      },
    ],
    blingsting: [
      {
        name: "send_invoices",
        schedule: "*/5 * * * *",
        slots: { every: 5, from: 0 },
        command: "select 1/0",
        history: "failing",
      },
      {
        name: "sync_contacts",
        schedule: "*/10 * * * *",
        slots: { every: 10, from: 0 },
        command: "select count(*) from demo.items",
        history: "healthy",
      },
      {
        name: "sync_contacts",
        schedule: "*/15 * * * *",
        slots: { every: 15, from: 0 },
        command: "select max(seen_at) from demo.items",
        history: "healthy",
        user: SECOND_USER,
      },
      {
        name: "daily_report",
        schedule: "30 6 * * *",
        slots: { every: 1440, from: 390 },
        command: "select count(*), avg(score) from demo.items",
        history: "healthy",
      },
    ],
    scraping: [
      {
        name: "scrape_serp",
        schedule: `${hourlyMinute} * * * *`,
        slots: { every: 60, from: hourlyMinute },
        command: "insert into demo.items (key) values ('serp ' || extract(hour from now())) " +
          "on conflict (key) do update set seen_at = now()",
        history: "stopped",
      },
      {
        name: "rotate_proxies",
        schedule: "*/2 * * * *",
        slots: { every: 2, from: 0 },
        command: "update demo.items set score = 100 - score where score > 50",
        history: "healthy",
      },
      {
        name: "export_legacy_feed",
        schedule: "0 * * * *",
        slots: { every: 60, from: 0 },
        command: "select 'the old feed'",
        history: "none",
        state: "paused",
      },
      {
        name: "poll_crawl_queue",
        schedule: "30 seconds",
        slots: minutely,
        command: "select count(*) from demo.items",
        history: "healthy",
        interval: "seconds",
      },
    ],
    thordata: [
      {
        name: "warm_edge_functions",
        schedule: "*/10 * * * *",
        slots: { every: 10, from: 0 },
        command:
          `select monitored.http_post('warm_edge_functions', url := '${functionsUrl}/discover-jobs', body := '{"dry_run":true}', ` +
          "headers := jsonb_build_object('Content-Type', 'application/json', 'apikey', (select decrypted_secret " +
          "from vault.decrypted_secrets where name = 'monitor_secret_key')), timeout_milliseconds := 10000)",
        history: "healthy",
      },
      {
        // pg_cron calls each run a success; the function does not exist
        name: "refresh_prices",
        schedule: "*/15 * * * *",
        slots: { every: 15, from: 0 },
        command: `select monitored.http_post('refresh_prices', url := '${functionsUrl}/refresh-prices')`,
        history: "healthy",
      },
      {
        name: "roll_up_usage",
        schedule: "5 * * * *",
        slots: { every: 60, from: 5 },
        command:
          "insert into demo.items (key) values ('usage') on conflict (key) do update set seen_at = now()",
        history: "healthy",
      },
    ],
  };
  return catalogue[project] ?? [];
}

async function createDemoSchema({ sql, admin }: DemoTarget): Promise<void> {
  await sql.unsafe(`
    create schema if not exists demo;
    comment on schema demo is 'Where the demo jobs of the local stack do their small work.';
    create table if not exists demo.items (
      key text primary key,
      score integer not null default 50,
      seen_at timestamptz not null default now()
    );`);
  await admin.unsafe(`
    do $$ begin
      if to_regrole('${SECOND_USER}') is null then
        create role ${SECOND_USER} login;
      end if;
    end $$;
    grant usage on schema demo to ${SECOND_USER};
    grant select on demo.items to ${SECOND_USER};`);
}

async function exists(admin: postgres.Sql, job: DemoJob): Promise<boolean> {
  const found = job.name === null
    ? await admin`select from cron.job where jobname is null and command = ${job.command}`
    : await admin`select from cron.job where jobname = ${job.name} and username = ${job.user ?? "postgres"}`;
  return found.length > 0;
}

/** Schedules the job through pg_cron's own functions and answers its jobid. */
async function schedule({ sql, admin }: DemoTarget, job: DemoJob): Promise<string> {
  const [row] = job.name === null
    ? await sql<{ id: string }[]>`select cron.schedule(${job.schedule}, ${job.command}) as id`
    : job.user === undefined
    ? await sql<{ id: string }[]>`select cron.schedule(${job.name}, ${job.schedule}, ${job.command}) as id`
    : await admin<{ id: string }[]>`
      select cron.schedule_in_database(${job.name}, ${job.schedule}, ${job.command}, 'postgres', ${job.user}) as id`;
  if (row === undefined) throw new Error(`Cannot schedule demo job "${job.name}": pg_cron gave no jobid`);
  if (job.state === "paused") await sql`select cron.alter_job(job_id := ${row.id}, active := false)`;
  return row.id;
}

/** A run that never was. */
interface PastRun {
  jobId: string;
  job: DemoJob;
  startedAt: Date;
  status: "succeeded" | "failed";
}

/** Oldest run first, since pg_cron numbers runs as they start. */
async function insertHistory(
  admin: postgres.Sql,
  created: readonly { jobId: string; job: DemoJob }[],
  now: Date,
): Promise<void> {
  const runs = created.flatMap(({ jobId, job }) =>
    pastSlots(job, now).map((startedAt, index): PastRun => ({
      jobId,
      job,
      startedAt,
      status: job.history === "failing" && index >= HISTORY_RUNS - FAILED_RUNS ? "failed" : "succeeded",
    }))
  );
  runs.sort((a, b) => a.startedAt.getTime() - b.startedAt.getTime());
  const rows = runs.map(({ jobId, job, startedAt, status }) => ({
    jobid: jobId,
    database: "postgres",
    username: job.user ?? "postgres",
    command: job.command,
    status,
    return_message: status === "failed" ? `ERROR:  division by zero (${HISTORY_LABEL})` : HISTORY_LABEL,
    start_time: new Date(startedAt.getTime() + 20),
    end_time: new Date(startedAt.getTime() + 140),
  }));
  if (rows.length === 0) return;
  await admin`
    insert into cron.job_run_details
      (runid, jobid, database, username, command, status, return_message, start_time, end_time)
    select nextval('cron.runid_seq'), jobid, database, username, command, status, return_message, start_time, end_time
    from jsonb_to_recordset(${admin.json(rows)}) as past (
      jobid bigint, database text, username text, command text, status text, return_message text,
      start_time timestamptz, end_time timestamptz)`;
}

/** The slots that the job's made-up history meets, oldest first. */
function pastSlots({ history, slots }: DemoJob, now: Date): Date[] {
  if (history === "none") return [];
  const every = slots.every * 60_000;
  const from = slots.from * 60_000;
  // Days begin at multiples of 24 h since the epoch, and every demo schedule divides a day.
  const newest = Math.floor((now.getTime() - from) / every) * every + from;
  const last = history === "stopped" ? newest - STOPPED_FOR_SLOTS * every : newest;
  return Array.from(
    { length: HISTORY_RUNS },
    (_, index) => new Date(last - (HISTORY_RUNS - 1 - index) * every),
  );
}

function atLeast(version: string, major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split(".").map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}
