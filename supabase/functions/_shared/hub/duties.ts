/** What the hub itself is expected to do: when it checks, and whether its alerts go out. */
import type postgres from "postgres";
import { z } from "zod";
import { hubError } from "./client.ts";

/** Minutes without a run of `send-alert` after which nobody would hear of anything: it runs each minute. */
const SILENT_MINUTES = 10;

const duties = z.object({
  /** When `check-job-health` runs, as pg_cron has it; `null` where it is not scheduled. */
  schedule: z.string().nullable(),
  time_zone: z.string().nullable(),
  /** ISO 8601: since when no scheduled `send-alert` has come to its end; `null`: one has lately. */
  alerts_silent_since: z.string().nullable(),
});

/** The hub's own duties. */
export type Duties = z.infer<typeof duties>;

/**
 * Reads the hub's own schedule, and since when its alerts have not gone out although they should.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readDuties(sql: postgres.Sql): Promise<Duties> {
  try {
    const [row] = await sql`
      with last as (
        select coalesce(
          (select max(ended_at) from public.check_runs where function_name = 'send-alert'),
          -- it has not run at all: since the schedule is on
          (select min(began_at) from public.check_runs where source = 'cron')) as at
      )
      select (select schedule from cron.job where jobname = 'check-job-health' and active order by jobid limit 1) as schedule,
             current_setting('cron.timezone', true) as time_zone,
             (select to_json(at) #>> '{}' from last
              where at < now() - make_interval(mins => ${SILENT_MINUTES})
                and exists (select from cron.job where jobname = 'send-alert' and active)) as alerts_silent_since`;
    return duties.parse(row);
  } catch (error) {
    throw hubError(error, "read the hub's own schedule");
  }
}
