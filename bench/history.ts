/** Watched projects with a history as pg_cron leaves it: 50 jobs, each run every few minutes, however far back. */
import type { TestDatabase } from "../tests/support/postgres.ts";

export const JOBS = 50;

/** What a history is made of. */
export interface History {
  rows: number;
  /** Minutes between two runs of a job; divides 15. */
  everyMinutes: number;
}

/** Runs of one quarter of an hour: what a check of every 15 minutes finds new. */
export function newRuns({ everyMinutes }: History): number {
  return JOBS * 15 / everyMinutes;
}

/** Adds the jobs, and runs that end 15 minutes ago. */
export async function fillHistory(db: TestDatabase, history: History): Promise<void> {
  await db.admin`
    insert into cron.job (jobname, schedule, command, username, active)
    select 'job_' || n, ${`*/${history.everyMinutes} * * * *`}, ${COMMAND} || n, 'postgres', true
    from generate_series(1, ${JOBS}::int) n`;
  await addRuns(db, history, 15);
  await db.admin`vacuum (analyze) cron.job_run_details`;
}

/** Adds the runs of the last 15 minutes. */
export async function addNewRuns(db: TestDatabase, history: History): Promise<void> {
  await addRuns(db, { ...history, rows: newRuns(history) }, 0);
}

const COMMAND =
  `select net.http_post(url := 'https://project.supabase.co/functions/v1/job', body := '{}'::jsonb) -- `;

/** Adds runs of all jobs in turn, 1 in 500 of them failed; the last slot is the newest one so many minutes ago. */
async function addRuns(
  db: TestDatabase,
  { rows, everyMinutes }: History,
  endMinutesAgo: number,
): Promise<void> {
  const seconds = everyMinutes * 60;
  const [ids] = await db.admin<{ first: number }[]>`select min(jobid)::int as first from cron.job`;
  await db.admin`
    insert into cron.job_run_details
      (jobid, job_pid, database, username, command, status, return_message, start_time, end_time)
    select ${ids?.first ?? 1}::int + job, 1000 + n % 30000, current_database(), 'postgres', ${COMMAND} || job,
      case when n % 500 = 499 then 'failed' else 'succeeded' end,
      case when n % 500 = 499 then 'ERROR:  canceling statement due to statement timeout' else '1 row' end,
      started, started + interval '1 second'
    from generate_series(0, ${rows}::int - 1) n,
      lateral (select n % ${JOBS}::int as job, (${rows}::int - 1 - n) / ${JOBS}::int as slots_ago) run,
      lateral (select to_timestamp(floor(extract(epoch from now()) / ${seconds}::int) * ${seconds}::int)
        - make_interval(mins => ${endMinutesAgo}::int + ${everyMinutes}::int * slots_ago)
        + interval '20 milliseconds' * job as started) start`;
}
