/** Runs: executions that pg_cron (or another source) logged. */
import { z } from "zod";

/** The six statuses that pg_cron writes; there are no others. */
export const cronRunStatus = z.enum(["starting", "running", "sending", "connecting", "succeeded", "failed"]);
export type CronRunStatus = z.infer<typeof cronRunStatus>;

/** Outcome of a run or slot as `job_health_log` stores it. */
export const runStatus = z.enum(["success", "failed", "missed", "unknown"]);
export type RunStatus = z.infer<typeof runStatus>;

/** One of the last runs of a job, kept in `job_state` and told in alerts. Times are ISO 8601. */
export const recentRun = z.object({
  runId: z.number().int().nullable(),
  status: z.enum(["success", "failed", "unknown", "running"]),
  startedAt: z.string().nullable(),
  endedAt: z.string().nullable(),
  /** Rows that a successful run affected, where its message says so. */
  rows: z.number().nullish(),
  /** What a failed run said, cut short. */
  message: z.string().nullish(),
});
export type RecentRun = z.infer<typeof recentRun>;
