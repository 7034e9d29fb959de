import assert from "node:assert/strict";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { addJob, addRun, secondsIntoHour } from "../support/cron_rows.ts";
import { configFor, recordingLog, watchOnlyOthers } from "../support/functions.ts";
import { runCheck } from "../../supabase/functions/check-job-health/run.ts";
import { triggerInput } from "../../supabase/functions/_shared/http/trigger.ts";
import { systemClock } from "../../supabase/functions/_shared/clock.ts";
import { AppError } from "../../supabase/functions/_shared/errors.ts";

function check(hub: TestDatabase, projects: Record<string, string>, input: Record<string, unknown> = {}) {
  const deps = { sql: hub.sql, config: configFor(hub, projects), clock: systemClock, log: recordingLog() };
  return runCheck(deps, triggerInput.parse(input));
}

/** A run right at a slot of `0 * * * *`, so many hours before the last one. */
function atSlot(hoursAgo: number) {
  return { startedSecondsAgo: secondsIntoHour() + hoursAgo * 3600 - 1 };
}

Deno.test("a check logs runs, opens incidents with deliveries, and a second one repeats nothing", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  await hub
    .sql`insert into alert_config (channel, webhook_url) values ('discord', 'env:DISCORD_WEBHOOK_URL')`;
  await addRun(smoothed, await addJob(smoothed, { name: "good" }), atSlot(0));
  await addRun(smoothed, await addJob(smoothed, { name: "bad" }), {
    ...atSlot(0),
    status: "failed",
    message: "ERROR: boom",
  });
  await addRun(smoothed, await addJob(smoothed, { name: "gone quiet" }), atSlot(5));
  const first = await check(hub, { smoothed: smoothed.url });
  assert.deepEqual([first.jobs, first.healthy, first.failed, first.missed, first.incidents_opened], [
    3,
    1,
    1,
    1,
    2,
  ]);
  const second = await check(hub, { smoothed: smoothed.url });
  assert.deepEqual([second.failed, second.missed, second.incidents_opened], [1, 1, 0]);
  const [counts] = await hub.sql`select (select count(*) from incidents)::int as incidents,
    (select count(*) from alert_deliveries)::int as deliveries,
    (select count(*) from job_health_log where status <> 'missed')::int as runs,
    (select count(*) from job_health_log where status = 'missed')::int as missed`;
  assert.deepEqual([counts?.incidents, counts?.deliveries, counts?.runs], [2, 2, 3]);
  assert.ok(counts?.missed >= 4, `${counts?.missed} slots`);
});

Deno.test("an edit of a job's row is known to the next check, and forgotten by the one after", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  const jobId = await addJob(smoothed);
  await addRun(smoothed, jobId, atSlot(0));
  const seenAfterCheck = async () => {
    await check(hub, { smoothed: smoothed.url });
    const [state] = await hub.sql`select row_seen from job_state`;
    const [row] = await smoothed.admin`select xmin::text as version from cron.job where jobid = ${jobId}`;
    return [state?.row_seen?.version ?? null, row?.version];
  };
  const [first, asWritten] = await seenAfterCheck();
  assert.equal(first, asWritten);
  await smoothed.admin`update cron.job set active = active where jobid = ${jobId}`;
  const [edited, rewritten] = await seenAfterCheck();
  assert.notEqual(rewritten, asWritten);
  assert.equal(edited, null, "after one edit the next is no excuse");
  assert.deepEqual(await seenAfterCheck(), [rewritten, rewritten]);
});

Deno.test("recovery resolves the incident and owes a message that says so", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  const jobId = await addJob(smoothed);
  await addRun(smoothed, jobId, { ...atSlot(0), status: "failed" });
  await check(hub, { smoothed: smoothed.url });
  await addRun(smoothed, jobId, { startedSecondsAgo: 1 });
  const report = await check(hub, { smoothed: smoothed.url });
  assert.deepEqual([report.healthy, report.incidents_resolved], [1, 1]);
  const events = await hub.sql`select event, state from alert_deliveries order by created_at`;
  assert.deepEqual(events.map((row) => ({ ...row })), [
    { event: "opened", state: "unroutable" },
    { event: "resolved", state: "unroutable" },
  ]);
});

Deno.test("a project that cannot be read is an error in the answer and an incident in the hub; the others go on", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  await addRun(smoothed, await addJob(smoothed), atSlot(0));
  const report = await check(hub, {
    smoothed: smoothed.url,
    scraping: "postgresql://u:secret@127.0.0.1:1/postgres",
  });
  assert.deepEqual(report.projects.map(({ project, status, jobs }) => [project, status, jobs]), [
    ["scraping", "error", 0],
    ["smoothed", "ok", 1],
  ]);
  assert.equal(report.projects[0]?.error?.code, "unreachable");
  assert.ok(!JSON.stringify(report).includes("secret"));
  const [incident] = await hub.sql`select subject_kind, subject_id, code from incidents`;
  assert.deepEqual({ ...incident }, { subject_kind: "project", subject_id: "scraping", code: "unreachable" });
  const [state] = await hub.sql`select status, error_code from project_state where project_name = 'scraping'`;
  assert.deepEqual({ ...state }, { status: "error", error_code: "unreachable" });
});

Deno.test("a stopped project's jobs are unknown, not missed, and not healthy", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  await addRun(smoothed, await addJob(smoothed), atSlot(0));
  await check(hub, { smoothed: smoothed.url });
  const report = await check(hub, { smoothed: "postgresql://u:p@127.0.0.1:1/postgres" });
  assert.deepEqual([report.jobs, report.unknown, report.healthy, report.missed], [1, 1, 0, 0]);
  const [state] = await hub.sql`select status from job_state`;
  assert.equal(state?.status, "unknown");
});

Deno.test("a dry run answers the same and writes nothing", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  await addRun(smoothed, await addJob(smoothed), { ...atSlot(0), status: "failed" });
  const report = await check(hub, { smoothed: smoothed.url }, { dry_run: true });
  assert.deepEqual([report.failed, report.dry_run], [1, true]);
  const [count] = await hub
    .sql`select (select count(*) from job_inventory)::int + (select count(*) from incidents)::int
    + (select count(*) from project_state)::int as n`;
  assert.equal(count?.n, 0);
});

Deno.test("ten checks at once open one incident and log each run once", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  await addRun(smoothed, await addJob(smoothed), { ...atSlot(0), status: "failed" });
  await Promise.all(Array.from({ length: 10 }, () => check(hub, { smoothed: smoothed.url })));
  const [count] = await hub.sql`select (select count(*) from incidents)::int as incidents,
    (select count(*) from job_health_log)::int as runs, (select count(*) from job_inventory)::int as jobs`;
  assert.deepEqual({ ...count }, { incidents: 1, runs: 1, jobs: 1 });
});

Deno.test("the hub watches itself under its own name, once, also where a secret names it too", async () => {
  await using hub = await testDatabase("hub");
  await addJob(hub, { name: "own job" });
  const report = await check(hub, { thordata: hub.url });
  assert.deepEqual(report.projects.map(({ project, jobs }) => [project, jobs]), [["thordata", 1]]);
});

Deno.test("an unknown project is refused with the names that are watched", async () => {
  await using hub = await testDatabase("hub");
  const refused = check(hub, {}, { project: "nowhere" });
  await assert.rejects(refused, (error) => {
    return error instanceof AppError && error.code === "not_found" &&
      /watched are: thordata/.test(error.message);
  });
});

Deno.test("a project of monitored_projects is read by its reference, and a missing secret is its own error", async () => {
  await using hub = await testDatabase("hub");
  await using crm = await testDatabase("project");
  await watchOnlyOthers(hub);
  await addJob(crm);
  await hub.sql`select vault.create_secret(${crm.url}, 'crm_url')`;
  await hub.sql`insert into monitored_projects (name, database_url) values
    ('crm', 'vault:crm_url'), ('lost', 'vault:nowhere'), ('later', null)`;
  const report = await check(hub, {});
  assert.deepEqual(report.projects.map(({ project, status, jobs }) => [project, status, jobs]), [
    ["crm", "ok", 1],
    ["later", "error", 0],
    ["lost", "error", 0],
  ]);
  assert.match(report.projects[2]?.error?.message ?? "", /vault:nowhere/);
});

Deno.test("a command's secrets do not reach the inventory", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  const jwt = `eyJhbGciOiJIUzI1NiJ9.${"a".repeat(40)}.${"b".repeat(43)}`;
  await addJob(smoothed, {
    command: `select net.http_post('https://x.test', headers := '{"Authorization":"Bearer ${jwt}"}')`,
  });
  await check(hub, { smoothed: smoothed.url });
  const [job] = await hub.sql`select command from job_inventory`;
  assert.ok(!job?.command.includes(jwt), job?.command);
});

Deno.test("what changed is in the answer of a check, and told once where alert_on_drift is true", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  await hub
    .sql`insert into alert_config (channel, webhook_url) values ('discord', 'env:DISCORD_WEBHOOK_URL')`;
  await addRun(smoothed, await addJob(smoothed, { name: "edited" }), atSlot(0));
  await addRun(smoothed, await addJob(smoothed, { name: "gone" }), atSlot(0));
  await check(hub, { smoothed: smoothed.url });
  const changes = async () => (await check(hub, { smoothed: smoothed.url })).projects[0]?.changes;
  assert.deepEqual(await changes(), []);

  await smoothed.admin`update cron.job set schedule = '@daily' where jobname = 'edited'`;
  const edited = { job: "edited", change: "schedule", old_value: "0 * * * *", new_value: "@daily" };
  assert.deepEqual(await changes(), [edited]);
  const [before] = await hub.sql`select count(*)::int as n from incidents`;
  assert.equal(before?.n, 0, "off by default");

  const set = (value: string) =>
    hub.sql`update app_settings set value = ${value} where key = 'alert_on_drift'`;
  await assert.rejects(() => set("yes"), /alert_on_drift is true or false/);
  await set("true");
  await smoothed.admin`update cron.job set active = false, command = 'select 2' where jobname = 'edited'`;
  await smoothed.admin`delete from cron.job where jobname = 'gone'`;
  assert.deepEqual((await changes())?.map(({ job, change }) => [job, change]), [
    ["edited", "paused"],
    ["edited", "command"],
    ["gone", "removed"],
  ]);
  assert.deepEqual(await changes(), []);
  const incidents = await hub.sql`
    select j.job_name, i.code, i.severity, i.summary, i.resolution,
      (select count(*)::int from delivery_incidents d where d.incident_id = i.id) as deliveries
    from incidents i join job_inventory j on j.id = i.job_inventory_id order by j.job_name`;
  const common = { code: "drift", severity: "low", resolution: "told", deliveries: 1 };
  assert.deepEqual(incidents.map((row) => ({ ...row })), [
    {
      job_name: "edited",
      ...common,
      summary: 'it was paused; its command changed from "select 1" to "select 2"',
    },
    { job_name: "gone", ...common, summary: 'it vanished from its project (its schedule was "0 * * * *")' },
  ]);
});

Deno.test("runs that overrun, a run far slower than usual and a schedule that cannot be read are told, low or as outage", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  const overrunning = await addJob(smoothed, { name: "overruns", schedule: "* * * * *" });
  for (const startedSecondsAgo of [300, 200, 100]) {
    await addRun(smoothed, overrunning, { startedSecondsAgo, seconds: 95 });
  }
  const slow = await addJob(smoothed, { name: "slow" });
  for (let hoursAgo = 24; hoursAgo > 0; hoursAgo--) await addRun(smoothed, slow, atSlot(hoursAgo));
  await addRun(smoothed, slow, { ...atSlot(0), startedSecondsAgo: secondsIntoHour() + 600, seconds: 590 });
  await addJob(smoothed, { name: "unreadable", schedule: "61 * * * *" });
  await check(hub, { smoothed: smoothed.url });
  const incidents = await hub.sql`
    select j.job_name, i.code, i.severity, i.summary
    from incidents i join job_inventory j on j.id = i.job_inventory_id where i.code <> 'missed' order by j.job_name`;
  assert.deepEqual(incidents.map(({ job_name, code, severity }) => [job_name, code, severity]), [
    ["overruns", "overrun", "low"],
    ["slow", "slow", "low"],
    ["unreadable", "schedule_invalid", "important"],
  ]);
  assert.match(incidents[0]?.summary, /runs take 1 min 35 s and more, and are due every 1 min/);
  assert.match(incidents[2]?.summary, /minute must be 0 to 59/);
});

Deno.test("a clock far from the hub's makes jobs unknown, told once", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  await addRun(smoothed, await addJob(smoothed), atSlot(30));
  const deps = {
    sql: hub.sql,
    config: configFor(hub, { smoothed: smoothed.url }),
    clock: () => new Date(Date.now() + 10 * 60_000),
    log: recordingLog(),
  };
  const report = await runCheck(deps, triggerInput.parse({}));
  assert.deepEqual([report.unknown, report.missed, report.incidents_opened], [1, 0, 1]);
  const [incident] = await hub.sql`select code, severity from incidents`;
  assert.deepEqual({ ...incident }, { code: "clock_off", severity: "important" });
});
