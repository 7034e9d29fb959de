/** Compares what a project shows with what the inventory holds. */
import type { CronJob } from "../domain/facts.ts";
import type { InventoryJob } from "../domain/hub.ts";
import { type JobKey, jobKeyText, type JobType } from "../domain/job.ts";
import type { ChangeKind, InventoryChange, ObservedJob } from "../domain/observation.ts";

/** A job as a project shows it, before it has an id. */
export type ShownJob = Omit<ObservedJob, "id">;

/** What has to be written, and what each shown job is called in the inventory. */
export interface Reconciliation {
  jobs: ObservedJob[];
  removed: string[];
  changes: InventoryChange[];
}

/** Names for cron jobs as the inventory keeps them: (name, role), where an unnamed job is `job <jobid>`. */
export function shownCronJobs(
  jobs: readonly CronJob[],
  describe: (job: CronJob) => Pick<ShownJob, "command" | "expectedIntervalMinutes" | "warnings">,
): ShownJob[] {
  const taken = new Set(
    jobs.filter((job) => job.jobName !== null).map((job) => `${job.userName} ${job.jobName}`),
  );
  return jobs.map((job) => {
    const given = `job ${job.jobId}`;
    // somebody may have given a job the very name that an unnamed one gets
    const unnamed = taken.has(`${job.userName} ${given}`) ? `${given} (unnamed)` : given;
    return {
      jobType: "pg_cron",
      jobName: job.jobName ?? unnamed,
      jobUser: job.userName,
      jobId: job.jobId,
      schedule: job.schedule,
      active: job.active,
      rowVersion: job.rowVersion,
      ...describe(job),
    };
  });
}

/**
 * Matches shown jobs to inventory rows by identity; a row that a person added may lack the role. Rows of the given type
 * that are no longer shown are removed (kept, with their annotations); one that comes back is the same row again.
 */
export function reconcile(
  shown: readonly ShownJob[],
  inventory: readonly InventoryJob[],
  type: JobType,
  newId: () => string,
): Reconciliation {
  const known = new Map(inventory.filter((job) => job.jobType === type).map((job) => [jobKeyText(job), job]));
  const seen = new Set<string>();
  const result: Reconciliation = { jobs: [], removed: [], changes: [] };
  for (const job of shown) {
    const key = jobKeyText(job);
    if (seen.has(key)) continue;
    seen.add(key);
    const before = known.get(key) ?? rowWithoutRole(job, shown, known);
    if (before !== undefined) seen.add(jobKeyText(before));
    const id = before?.id ?? newId();
    result.jobs.push({ id, ...job });
    const isNew = before === undefined || isOnlyWritten(before, job);
    result.changes.push(...(isNew ? [change(id, job, "added", null, null)] : differences(before, job)));
  }
  for (const [key, job] of known) {
    if (seen.has(key) || job.removedAt !== null) continue;
    result.removed.push(job.id);
    result.changes.push(change(job.id, job, "removed", job.schedule, null));
  }
  return result;
}

/** The row that a person added for a job without its role, unless several roles have a job of that name. */
function rowWithoutRole(
  job: ShownJob,
  shown: readonly ShownJob[],
  known: ReadonlyMap<string, InventoryJob>,
): InventoryJob | undefined {
  const row = known.get(jobKeyText({ ...job, jobUser: null }));
  if (row === undefined) return undefined;
  return shown.some((other) => other !== job && other.jobName === job.jobName) ? undefined : row;
}

/** Whether a person added the row and no discovery has seen its job yet. */
function isOnlyWritten(before: InventoryJob, now: ShownJob): boolean {
  return before.jobId === null && now.jobId !== null;
}

function differences(before: InventoryJob, now: ShownJob): InventoryChange[] {
  const found: InventoryChange[] = [];
  const note = (kind: ChangeKind, oldValue: string | null, newValue: string | null) =>
    found.push(change(before.id, before, kind, oldValue, newValue));
  if (before.removedAt !== null) note("returned", before.schedule, now.schedule);
  if (before.active !== now.active) note(now.active ? "resumed" : "paused", null, null);
  if (before.schedule !== now.schedule) note("schedule", before.schedule, now.schedule);
  if (before.command !== now.command) note("command", before.command, now.command);
  if (before.jobId !== null && before.jobId !== now.jobId) {
    note("job_id", String(before.jobId), now.jobId === null ? null : String(now.jobId));
  }
  return found;
}

function change(
  id: string,
  job: JobKey,
  kind: ChangeKind,
  oldValue: string | null,
  newValue: string | null,
): InventoryChange {
  return { jobInventoryId: id, jobType: job.jobType, jobName: job.jobName, change: kind, oldValue, newValue };
}
