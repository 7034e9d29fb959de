/** What the command line reads of jobs' errors: failures by fingerprint and job over time. Instants are ISO 8601 text. */
import { z } from "zod";
import { fingerprint } from "../../supabase/functions/_shared/rules/fingerprint.ts";
import { redact } from "../../supabase/functions/_shared/rules/redact.ts";
import type { Hub } from "./hub_client.ts";

/** Groups of nearly the same message that are read at most, and characters of a message. */
const GROUPS = 5_000;
const MESSAGE_LIMIT = 1_000;
const DAY_MS = 86_400_000;

const groupRow = z.object({
  project_name: z.string(),
  job_name: z.string(),
  message: z.string(),
  first_at: z.date(),
  last_at: z.date(),
  /** Failures by how many days ago, 0 being the last 24 hours. */
  days: z.record(z.string(), z.number()),
});

/** One error of one job. */
export interface JobError {
  fingerprint: string;
  project_name: string;
  job_name: string;
  /** The latest kind of message in full, without secrets. */
  message: string;
  /** Within the days asked for. */
  count: number;
  /** In all of the log that is kept. */
  first_seen: string;
  last_seen: string;
  /** First seen within the last 24 hours. */
  new_since_yesterday: boolean;
  /** A count for each day, oldest first; the last are the last 24 hours. */
  by_day: number[];
}

/** Which errors. */
export interface ErrorFilter {
  project?: string | undefined;
  job?: string | undefined;
  /** Default 7. */
  days?: number;
}

/** Errors of the last days by fingerprint and job: new ones first, then by count. */
export async function readErrors(
  hub: Hub,
  { project, job, days = 7 }: ErrorFilter = {},
): Promise<JobError[]> {
  const rows = await hub.rows("read the errors", groupRow, (sql) =>
    sql`
      with failures as (
        select project_name, job_name, coalesce(folded_error, '') as folded,
               left(coalesce(error_message, ''), ${MESSAGE_LIMIT}::integer) as message,
               coalesce(run_at, collected_at) as at,
               greatest(0, floor(extract(epoch from now() - coalesce(run_at, collected_at)) / 86400))::integer as days_ago
        from public.job_health_log
        where status = 'failed'
          and (${project ?? null}::text is null or project_name = ${project ?? null})
          and (${job ?? null}::text is null or job_name = ${job ?? null})
      ), daily as (
        select project_name, job_name, folded, days_ago, count(*) as count, max(message) as message,
               min(at) as first_at, max(at) as last_at
        from failures group by 1, 2, 3, 4
      )
      select project_name, job_name, (array_agg(message order by last_at desc))[1] as message, min(first_at) as first_at,
             max(last_at) as last_at, jsonb_object_agg(days_ago, count) as days
      from daily
      group by project_name, job_name, folded
      order by max(last_at) desc
      limit ${GROUPS}`);
  const now = Date.now();
  const groups = Map.groupBy(
    rows,
    (row) => JSON.stringify([fingerprint(row.message), row.project_name, row.job_name]),
  );
  return [...groups.values()].flatMap((group) => errorOf(group, days, now)).sort((a, b) =>
    Number(b.new_since_yesterday) - Number(a.new_since_yesterday) || b.count - a.count ||
    b.last_seen.localeCompare(a.last_seen)
  );
}

/** None where it did not happen within the days. */
function errorOf(group: readonly z.infer<typeof groupRow>[], days: number, now: number): JobError[] {
  const [latest] = group;
  if (latest === undefined) return [];
  const byDay = Array.from(
    { length: days },
    (_, index) => group.reduce((sum, row) => sum + (row.days[String(days - 1 - index)] ?? 0), 0),
  );
  const count = byDay.reduce((sum, one) => sum + one, 0);
  if (count === 0) return [];
  const first = Math.min(...group.map(({ first_at }) => first_at.getTime()));
  const last = Math.max(...group.map(({ last_at }) => last_at.getTime()));
  return [{
    fingerprint: fingerprint(latest.message),
    project_name: latest.project_name,
    job_name: latest.job_name,
    message: redact(latest.message),
    count,
    first_seen: new Date(first).toISOString(),
    last_seen: new Date(last).toISOString(),
    new_since_yesterday: now - first <= DAY_MS,
    by_day: byDay,
  }];
}
