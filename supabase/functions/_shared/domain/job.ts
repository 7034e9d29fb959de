/** Jobs as the inventory knows them, and what people write about them. */
import { z } from "zod";

/** What kind of thing a row of `job_inventory` describes. */
export const jobType = z.enum(["pg_cron", "edge_function", "webhook", "heartbeat"]);
export type JobType = z.infer<typeof jobType>;

/** How much a person cares; `null` in the inventory means nobody has said yet. */
export const criticality = z.enum(["critical", "important", "low"]);
export type Criticality = z.infer<typeof criticality>;

/** Severity of an incident. `info` is logged and reported, never sent. */
export const severity = z.enum(["critical", "important", "low", "info"]);
export type Severity = z.infer<typeof severity>;

/** What the last check concluded about a job. `unknown` is never shown as healthy. */
export const jobStatus = z.enum(["healthy", "failed", "missed", "unknown", "paused"]);
export type JobStatus = z.infer<typeof jobStatus>;

/** What a person annotated; discovery never writes any of these. */
export interface JobAnnotations {
  description: string | null;
  successCriteria: string | null;
  criticality: Criticality | null;
  alertChannel: string | null;
  owner: string | null;
  runbookUrl: string | null;
  /** Minutes a run may start late before its slot is missed; `null`: derived from the schedule. */
  graceMinutes: number | null;
  maxRuntimeMinutes: number | null;
  /** Consecutive failures before the job counts as failed; `null`: one. */
  failureThreshold: number | null;
  /** A query on the project that answers true or false after a successful run. */
  successCheckSql: string | null;
  /** Rows that a successful run affects at least. */
  minRows: number | null;
  /** Whether `"ok": false` in the JSON body of an HTTP answer is a failure. */
  checkBodyOk: boolean | null;
}

/** A job of which nobody has written anything. */
export const UNANNOTATED: JobAnnotations = {
  description: null,
  successCriteria: null,
  criticality: null,
  alertChannel: null,
  owner: null,
  runbookUrl: null,
  graceMinutes: null,
  maxRuntimeMinutes: null,
  failureThreshold: null,
  successCheckSql: null,
  minRows: null,
  checkBodyOk: null,
};

/** Identity of a job: one row of the inventory each. An unnamed pg_cron job is called `job <jobid>`. */
export interface JobKey {
  jobType: JobType;
  jobName: string;
  /** The database role that pg_cron runs it as; `null` where a job has none (edge functions). */
  jobUser: string | null;
}

/** A {@link JobKey} as one string, for maps. */
export function jobKeyText(key: JobKey): string {
  return JSON.stringify([key.jobType, key.jobName, key.jobUser]);
}
