/** Puts jobs and runs into a test database's real pg_cron tables, as its launcher would have. */
import type { TestDatabase } from "./postgres.ts";

/** A job to schedule. */
export interface JobRow {
  name?: string | null;
  schedule?: string;
  command?: string;
  user?: string;
  active?: boolean;
}

/** Adds a job and answers its jobid. */
export async function addJob(db: TestDatabase, job: JobRow = {}): Promise<number> {
  const {
    name = "sync_leads",
    schedule = "0 * * * *",
    command = "select 1",
    user = "postgres",
    active = true,
  } = job;
  const [row] = await db.admin<{ jobid: number }[]>`
    insert into cron.job (jobname, schedule, command, username, active)
    values (${name}, ${schedule}, ${command}, ${user}, ${active}) returning jobid::int`;
  return row?.jobid ?? 0;
}

/** A run to add, relative to now. */
export interface RunRow {
  status?: string;
  message?: string | null;
  /** Seconds before now at which it started; `null`: pg_cron did not note it. */
  startedSecondsAgo?: number | null;
  /** Seconds that it took; `null`: it has not ended. */
  seconds?: number | null;
}

/** Adds a run and answers its runid. */
export async function addRun(db: TestDatabase, jobId: number, run: RunRow = {}): Promise<number> {
  const { status = "succeeded", message = "1 row", startedSecondsAgo = 60, seconds = 1 } = run;
  // nothing ends in the future
  const lasted = seconds === null ? null : Math.min(seconds, startedSecondsAgo ?? seconds);
  const [row] = await db.admin<{ runid: number }[]>`
    insert into cron.job_run_details (jobid, database, username, command, status, return_message, start_time, end_time)
    values (${jobId}, current_database(), 'postgres', 'select 1', ${status}, ${message},
            now() - make_interval(secs => ${startedSecondsAgo}),
            now() - make_interval(secs => ${startedSecondsAgo}) + make_interval(secs => ${lasted}))
    returning runid::int`;
  return row?.runid ?? 0;
}

/** Seconds since the last full hour, so that a run can be put right at a slot of `0 * * * *`. */
export function secondsIntoHour(now = Date.now()): number {
  return Math.floor(now / 1000) % 3600;
}
