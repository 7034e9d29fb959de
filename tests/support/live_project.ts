/** A hub that watches one live project, whose real launcher runs the jobs. */
import {
  type LauncherCluster,
  launcherCluster,
  ROOT_DIR,
  type TestDatabase,
  testDatabase,
} from "./postgres.ts";
import { configFor, recordingLog, watchOnlyOthers } from "./functions.ts";
import { waitFor } from "./wait_for.ts";
import { startCluster } from "../../scripts/local/postgres.ts";
import { systemClock } from "../../supabase/functions/_shared/clock.ts";
import { triggerInput } from "../../supabase/functions/_shared/http/trigger.ts";
import { type ProjectReport, runCheck } from "../../supabase/functions/check-job-health/run.ts";

/** A project and its hub. */
export interface LiveProject {
  cluster: LauncherCluster;
  hub: TestDatabase;
  /** Schedules a job as the project's owner. */
  schedule(name: string, schedule: string, command: string): Promise<void>;
  /** Writes annotations into the inventory, as a person would in the table editor. */
  annotate(jobName: string, annotations: Record<string, string | number>): Promise<void>;
  /** One check, recorded. */
  check(): Promise<ProjectReport>;
  /** Starts the stopped server again, on its data. */
  start(settings?: Record<string, string>): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts a project and a hub that watches nothing else. */
export async function liveProject(settings: Record<string, string> = {}): Promise<LiveProject> {
  const [cluster, hub] = await Promise.all([launcherCluster({ settings }), testDatabase("hub")]);
  await watchOnlyOthers(hub);
  return {
    cluster,
    hub,
    schedule: async (name, schedule, command) => {
      await cluster.sql`select cron.schedule(${name}, ${schedule}, ${command})`;
    },
    annotate: async (jobName, annotations) => {
      await hub.sql`update job_inventory set ${hub.sql(annotations)} where job_name = ${jobName}`;
    },
    check: () => checkOf(hub, cluster.dbUrl),
    start: async (changed = {}) => {
      const { name, port } = cluster;
      await startCluster({
        name,
        port,
        rootDir: ROOT_DIR,
        storage: "memory",
        settings: { ...settings, ...changed },
      });
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([cluster[Symbol.asyncDispose](), hub[Symbol.asyncDispose]()]);
    },
  };
}

/** Checks the one project that a hub watches. */
export async function checkOf(hub: TestDatabase, databaseUrl: string): Promise<ProjectReport> {
  const config = configFor(hub, { smoothed: databaseUrl });
  const deps = { sql: hub.sql, config, clock: systemClock, log: recordingLog() };
  const [report] = (await runCheck(deps, triggerInput.parse({ project: "smoothed" }))).projects;
  if (report === undefined) throw new Error("The check answered no project");
  return report;
}

/** `[status, verdict]` of each job, by name. */
export function verdictsOf(report: ProjectReport): Record<string, [status: string, verdict: string | null]> {
  return Object.fromEntries(
    report.details.map(({ job_name, status, verdict }) => [job_name, [status, verdict]]),
  );
}

/** An incident as the tests look at it; `subject` is a job's name or the project's. */
export interface SeenIncident {
  subject: string;
  code: string;
  severity: string;
  summary: string;
  cause: string | null;
  resolution: string | null;
  detail: Record<string, unknown>;
}

/** Every incident of a hub, oldest first. */
export async function incidentsOf(hub: TestDatabase): Promise<SeenIncident[]> {
  const rows = await hub.sql<SeenIncident[]>`
    select coalesce(j.job_name, i.subject_id) as subject, i.code, i.severity, i.summary, i.detail ->> 'cause' as cause,
      i.resolution, i.detail
    from incidents i left join job_inventory j on j.id = i.job_inventory_id order by i.opened_at, subject, i.code`;
  return rows.map((row) => ({ ...row }));
}

/** Waits for the next full minute by the machine's clock, on which local servers run too; answers it, epoch ms. */
export async function nextMinute(): Promise<number> {
  const minute = (Math.floor(Date.now() / 60_000) + 1) * 60_000;
  await waitFor(() => Date.now() >= minute, { what: "the next minute", withinMs: 65_000 });
  return minute;
}

/** Waits until the next full minute is far enough away to prepare something that it is to start. */
export async function roomBeforeMinute(seconds = 15): Promise<void> {
  await waitFor(() => Date.now() % 60_000 < (60 - seconds) * 1000 && Date.now() % 60_000 > 1_000, {
    what: "a minute to begin",
    withinMs: 60_000,
  });
}
