import assert from "node:assert/strict";
import { type Replay, replay } from "../../scripts/replay.ts";
import { AppError } from "../../supabase/functions/_shared/errors.ts";
import { addJob } from "../support/cron_rows.ts";
import { watchOnlyOthers } from "../support/functions.ts";
import { checkOf } from "../support/live_project.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

const HOUR = 60 * 60_000;

/** Hourly runs of a job at full hours, by hours ago, oldest first; one that is named differently failed. */
async function addHourlyRuns(
  db: TestDatabase,
  jobId: number,
  hoursAgo: readonly number[],
  failed: readonly number[] = [],
) {
  const hour = Math.floor(Date.now() / HOUR) * HOUR;
  for (const ago of hoursAgo) {
    const status = failed.includes(ago) ? "failed" : "succeeded";
    const started = new Date(hour - ago * HOUR + 500);
    await db.admin`
      insert into cron.job_run_details (jobid, status, return_message, start_time, end_time)
      values (${jobId}, ${status}, ${
      failed.includes(ago) ? "ERROR: boom" : "1 row"
    }, ${started}, ${started})`;
  }
}

/** Hours from `from` to 0, both with, without some. */
function hours(from: number, without: readonly number[] = []): number[] {
  return Array.from({ length: from + 1 }, (_, index) => from - index).filter((hour) =>
    !without.includes(hour)
  );
}

function told({ jobs }: Replay): Record<string, string[]> {
  return Object.fromEntries(
    jobs.map(({ job_name, incidents }) => [job_name, incidents.map(({ code }) => code)]),
  );
}

Deno.test("a project's own history is replayed job by job, with the thresholds that were asked for", async () => {
  await using db = await testDatabase("project");
  const steady = await addJob(db, { name: "steady" });
  const shaky = await addJob(db, { name: "shaky" });
  await addJob(db, { name: "rests", active: false });
  const young = await addJob(db, { name: "young" });
  await addJob(db, { name: "unheard of" });
  await addHourlyRuns(db, steady, hours(60));
  await addHourlyRuns(db, shaky, hours(60, [20, 21]), [40, 30, 29]);
  await addHourlyRuns(db, young, hours(10));
  const place = { project: "smoothed", databaseUrl: db.url };

  const strict = await replay({ ...place, days: 2 });
  assert.deepEqual([strict.source, strict.shortened, strict.incidents], ["cron.job_run_details", false, []]);
  assert.deepEqual(told(strict), {
    "steady": [],
    "shaky": ["failed", "failed", "missed"],
    "rests": [],
    "young": [],
    "unheard of": [],
  });
  const [, second, third, fourth, fifth] = strict.jobs;
  assert.deepEqual([second?.failed, second?.missed_slots, second?.alerts], [3, 2, 3]);
  assert.equal(third?.active, false);
  assert.ok(Date.now() - Date.parse(fourth?.since ?? "") < 11.1 * HOUR, "judged from its first run on");
  assert.equal(fifth?.since, null, "nothing shows that it existed");

  assert.deepEqual(told(await replay({ ...place, days: 2, failureThreshold: 2 }))["shaky"], [
    "failed",
    "missed",
  ]);
  const patient = await replay({ ...place, days: 2, graceMinutes: 200, failureThreshold: 9 });
  assert.deepEqual(
    patient.jobs.map(({ grace_minutes, failure_threshold }) => [grace_minutes, failure_threshold]),
    Array(5).fill([200, 9]),
  );
  assert.ok(!told(patient)["shaky"]?.includes("failed"));
  const longer = await replay({ ...place, days: 30 });
  assert.equal(longer.shortened, true);
  assert.ok(Date.now() - Date.parse(longer.since) < 62 * HOUR);
});

Deno.test("where somebody deleted the successes of a project no miss is made up", async () => {
  await using db = await testDatabase("project");
  await addHourlyRuns(db, await addJob(db, { name: "kept short" }), hours(48, [5]), [30]);
  await db
    .sql`delete from cron.job_run_details where status = 'succeeded' and start_time < now() - interval '12 hours'`;
  const short = await replay({ project: "smoothed", databaseUrl: db.url, days: 2 });
  assert.deepEqual(told(short), { "kept short": ["failed", "missed"] });
  assert.equal(short.jobs[0]?.missed_slots, 1);
});

Deno.test("annotations and changes that the hub knows are kept to", async () => {
  await using hub = await testDatabase("hub");
  await using db = await testDatabase("project");
  await watchOnlyOthers(hub);
  const shaky = await addJob(db, { name: "shaky" });
  const edited = await addJob(db, { name: "edited" });
  await addHourlyRuns(db, shaky, hours(48), [20]);
  await addHourlyRuns(db, edited, hours(48, [10]));
  await checkOf(hub, db.url);
  await hub.sql`update job_inventory set failure_threshold = 2 where job_name = 'shaky'`;
  const place = { project: "smoothed", databaseUrl: db.url, days: 1 };
  assert.deepEqual(told(await replay(place)), { shaky: ["failed"], edited: ["missed"] });
  assert.deepEqual(told(await replay({ ...place, hub: hub.sql })), { shaky: [], edited: ["missed"] });
  await hub.sql`
    insert into inventory_changes (job_inventory_id, project_name, job_type, job_name, change, noticed_at)
    select id, project_name, job_type, job_name, 'schedule', now() - interval '5 hours'
    from job_inventory where job_name = 'edited'`;
  assert.deepEqual(told(await replay({ ...place, hub: hub.sql })), { shaky: [], edited: [] });
});

Deno.test("the hub's log is replayed without the project, from when its jobs were first seen until the last check", async () => {
  await using hub = await testDatabase("hub");
  await using db = await testDatabase("project");
  await watchOnlyOthers(hub);
  const shaky = await addJob(db, { name: "shaky" });
  await addHourlyRuns(db, shaky, hours(48, [10]), [20]);
  await checkOf(hub, db.url);
  const place = { project: "smoothed", hub: hub.sql, days: 1 };
  const first = await replay(place);
  assert.deepEqual([first.source, first.shortened, first.jobs[0]?.alerts], ["job_health_log", true, 0]);

  await hub.admin`update job_inventory set first_seen_at = now() - interval '3 days'`;
  const [job] = (await replay(place)).jobs;
  assert.deepEqual([job?.incidents.map(({ code }) => code), job?.failed, job?.missed_slots], [
    ["failed", "missed"],
    1,
    1,
  ]);
  assert.deepEqual(told(await replay({ ...place, failureThreshold: 2 })), { shaky: ["missed"] });
});

Deno.test("what cannot be replayed says why", async () => {
  await using hub = await testDatabase("hub");
  await using db = await testDatabase("project");
  await watchOnlyOthers(hub);
  const refusal = async (options: Parameters<typeof replay>[0]) => {
    const error = await replay(options).catch((error) => error);
    assert.ok(error instanceof AppError, String(error));
    return [error.code, error.message];
  };
  assert.deepEqual(await refusal({ project: "smoothed", hub: hub.sql, days: 1 }), [
    "not_found",
    'Cannot replay project "smoothed": no check has read it yet',
  ]);
  assert.equal((await refusal({ project: "smoothed", days: 1 }))[0], "bad_request");
  assert.equal(
    (await refusal({ project: "smoothed", databaseUrl: "postgresql://u:p@127.0.0.1:1/x", days: 1 }))[0],
    "unreachable",
  );
  await checkOf(hub, db.url);
  await hub.sql`update app_settings set value = 'false' where key = 'log_successes'`;
  assert.match(
    (await refusal({ project: "smoothed", hub: hub.sql, days: 1 }))[1] ?? "",
    /log_successes is false/,
  );
  const empty = await replay({ project: "smoothed", databaseUrl: db.url, days: 1 });
  assert.deepEqual([empty.jobs, empty.checks], [[], 1]);
});
