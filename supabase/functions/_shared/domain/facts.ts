/** Facts: what a watched project says of itself, stamped with its own clock. All instants are epoch milliseconds. */
import { z } from "zod";
import type { HttpFacts } from "./http.ts";
import { cronRunStatus } from "./run.ts";

/** A row of `cron.job`. */
export const cronJob = z.object({
  jobId: z.number().int(),
  /** `null`: scheduled without a name. */
  jobName: z.string().nullable(),
  userName: z.string(),
  schedule: z.string(),
  command: z.string(),
  database: z.string(),
  active: z.boolean(),
  /** Another one after each edit of its row, also one that was taken back; Postgres' `xmin`. */
  rowVersion: z.string(),
});
export type CronJob = z.infer<typeof cronJob>;

/** A row of `cron.job_run_details`. */
export const cronRun = z.object({
  runId: z.number().int(),
  jobId: z.number().int(),
  status: cronRunStatus,
  /** `return_message`, cut to what an alert can use. */
  message: z.string().nullable(),
  /** `null` before the command was sent, and for start-up failures of pg_cron before 1.6.3. */
  startedAt: z.number().nullable(),
  /** `null` while it runs, and for runs that a restart cut off. */
  endedAt: z.number().nullable(),
  /** Process id of the session that runs it, where pg_cron noted it. */
  pid: z.number().int().nullable(),
});
export type CronRun = z.infer<typeof cronRun>;

/** The settings that decide what pg_cron does. */
export const cronSettings = z.object({
  /** `cron.timezone`; GMT before pg_cron 1.5, which has no such setting; `null`: nobody can say. */
  timeZone: z.string().nullable(),
  /** `cron.log_run`: off means that no run leaves a trace; `null`: nobody can say. */
  logRun: z.boolean().nullable(),
  maxRunningJobs: z.number().int().nullable(),
  /** `pg_extension.extversion`; hosted Supabase shows only `1.6`. */
  pgCronVersion: z.string(),
  /** Why they are not known: all are hidden without pg_read_all_settings, and none exists without pg_cron's library. */
  access: z.enum(["readable", "no_privilege", "not_loaded"]),
});
export type CronSettings = z.infer<typeof cronSettings>;

/** What the session of a run in progress is doing: only with the privilege to see it (pg_monitor). */
export const runSession = z.object({
  pid: z.number().int(),
  /** `Lock:relation`, `IO:DataFileRead`, …; `null`: it is working. */
  waitsFor: z.string().nullable(),
  blockedBy: z.array(z.object({
    pid: z.number().int(),
    userName: z.string().nullable(),
    state: z.string().nullable(),
    query: z.string().nullable(),
  })),
});
export type RunSession = z.infer<typeof runSession>;

/** What a job's own success check (`job_inventory.success_check_sql`) answered. */
export interface SuccessCheck {
  jobId: number;
  /** `null`: it could not be asked. */
  held: boolean | null;
  /** Why not. */
  error: string | null;
}

/** Everything one look at a project's pg_cron brought back. */
export interface CronFacts {
  /** The project's clock when it was read. */
  now: number;
  /** When its Postgres started: runs missed before are a restart's. */
  serverStartedAt: number;
  settings: CronSettings;
  /**
   * Whether the launcher's backend was seen. `null`: nobody can say, without the privilege to see it, or because it or
   * the server has only just started: one that dies each second is seen now and then, too.
   */
  launcherAlive: boolean | null;
  jobs: CronJob[];
  /** Runs that began after the cursor, by run id; at a first look, the newest ones that were read. */
  runs: CronRun[];
  /** The runs that had not ended at the last look, read again. */
  reread: CronRun[];
  /** Of runs in progress; `null`: they may not be seen. */
  sessions: RunSession[] | null;
  successChecks: SuccessCheck[];
  /** `null`: the project has no pg_net. Absent: nobody asked. */
  http?: HttpFacts | null;
  /** The cursor for the next look: the highest run id seen, `null` if there is none at all. */
  cursor: number | null;
  /** `first`: no cursor was known. `restored`: it was above the highest run id, so the history was replaced. */
  reading: "first" | "next" | "restored";
  /** Runs that started up to here have all been read. */
  knownUntil: number;
}
