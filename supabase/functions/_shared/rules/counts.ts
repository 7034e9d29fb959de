/** Counts jobs by state. */
import type { JobStatus } from "../domain/job.ts";
import type { StatusCounts } from "../domain/observation.ts";

/** How many of the given jobs are in which state. */
export function countStatuses(jobs: readonly { status: JobStatus }[]): StatusCounts {
  const counts: StatusCounts = { jobs: jobs.length, healthy: 0, failed: 0, missed: 0, unknown: 0, paused: 0 };
  for (const job of jobs) counts[job.status]++;
  return counts;
}
