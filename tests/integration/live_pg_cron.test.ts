import assert from "node:assert/strict";
import type postgres from "postgres";
import { liveProject, nextMinute, roomBeforeMinute, verdictsOf } from "../support/live_project.ts";
import { waitFor } from "../support/wait_for.ts";
import { parseSchedule, slotsBetween } from "../../supabase/functions/_shared/rules/schedule.ts";

const MINUTE = 60_000;

/** Schedules whose next minutes tell rules of pg_cron apart, by what they are to show. */
function tellingSchedules(now: number): Record<string, string> {
  const next = new Date(now + MINUTE);
  const afterNext = new Date(now + 2 * MINUTE);
  const [first, second] = [next.getUTCMinutes(), afterNext.getUTCMinutes()];
  const [hour, date, weekday] = [next.getUTCHours(), next.getUTCDate(), next.getUTCDay()];
  const [otherDate, otherWeekday] = [date % 28 + 1, (weekday + 3) % 7];
  const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
  return {
    "every minute": "* * * * *",
    "every other minute": "*/2 * * * *",
    "every third, from the second on": "1-59/3 * * * *",
    "a list": `${first},${second} * * * *`,
    "one minute": `${second} ${hour},${afterNext.getUTCHours()} * * *`,
    "a range": `${Math.min(first, second)}-${Math.max(first, second)} * * * *`,
    "another minute": `${(first + 30) % 60} * * * *`,
    "another hour": `* ${(hour + 12) % 24} * * *`,
    "this month by name": `* * * ${months[next.getUTCMonth()]} *`,
    "another month": `* * * ${(next.getUTCMonth() + 6) % 12 + 1} *`,
    "no such date": "* * 31 2 *",
    "this date or another weekday": `* * ${date} * ${otherWeekday}`,
    "another date or this weekday": `* * ${otherDate} * ${weekday}`,
    "neither date nor weekday": `* * ${otherDate} * ${otherWeekday}`,
    "a star in the date, and another weekday": `* * */1 * ${otherWeekday}`,
    "another date, and a star in the weekday": `* * ${otherDate} * */1`,
    "Sunday as 0 and 7 and all between": "* * * * 0-7",
    "text after the fifth field": `* * * * * ignored`,
  };
}

Deno.test("real pg_cron starts jobs at our slots and at no others, and two checks around them see nothing wrong", async () => {
  await using project = await liveProject();
  const { sql } = project.cluster;
  await roomBeforeMinute();
  const from = Date.now();
  const schedules = tellingSchedules(from);
  for (const [name, schedule] of Object.entries(schedules)) {
    await project.schedule(name, schedule, "select 1");
  }
  await project.check();

  const last = await nextMinute() + MINUTE;
  assert.ok(last - from < 2 * MINUTE, "nothing was scheduled so late that a minute went by");
  await waitFor(
    async () => {
      const [row] = await sql`select count(*)::int as n from cron.job_run_details
                              where start_time >= ${new Date(
        last,
      )} and status not in ('succeeded', 'failed')`;
      return Date.now() > last + 10_000 && row?.n === 0;
    },
    { what: "the runs of the second minute", withinMs: 90_000, everyMs: 500 },
  );

  const [version] = await sql<
    { extversion: string }[]
  >`select extversion from pg_extension where extname = 'pg_cron'`;
  const starts = await startMinutes(sql);
  for (const [name, text] of Object.entries(schedules)) {
    const schedule = parseSchedule(text, { pgCronVersion: version?.extversion ?? "" });
    const { slots } = slotsBetween(schedule, { after: from, until: last, timeZone: "GMT" });
    assert.deepEqual(
      starts.get(name) ?? [],
      slots.map((slot) => new Date(slot).toISOString()),
      `${name}: ${text}`,
    );
  }
  const report = await project.check();
  assert.deepEqual([report.failed, report.missed, report.healthy], [0, 0, starts.size]);
  assert.deepEqual(verdictsOf(report)["no such date"], ["unknown", "never_fires"]);
});

/** By job: the full minutes in which its runs started, as ISO times. */
async function startMinutes(sql: postgres.Sql): Promise<Map<string, string[]>> {
  const rows = await sql<{ jobname: string; started: Date }[]>`
    select j.jobname, date_trunc('minute', d.start_time) as started
    from cron.job_run_details d join cron.job j using (jobid) order by d.runid`;
  const starts = new Map<string, string[]>();
  for (const { jobname, started } of rows) {
    starts.set(jobname, [...starts.get(jobname) ?? [], started.toISOString()]);
  }
  return starts;
}
