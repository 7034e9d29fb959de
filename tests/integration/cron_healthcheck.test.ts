/** Heartbeats from the word in the database to the alert: judged, recorded, told once, put off and asked for by hand. */
import assert from "node:assert/strict";
import type postgres from "postgres";
import { healthcheckInput } from "../../supabase/functions/cron-healthcheck/input.ts";
import { healthcheckEnding, runHealthcheck } from "../../supabase/functions/cron-healthcheck/run.ts";
import { AppError } from "../../supabase/functions/_shared/errors.ts";
import { recordingLog } from "../support/functions.ts";
import { addDiscord, onStage, type Stage } from "../support/outbox.ts";
import { testDatabase } from "../support/postgres.ts";

function healthcheck(sql: postgres.Sql, input: Record<string, unknown> = {}) {
  const deps = { sql, config: { hubProjectName: "thordata" }, log: recordingLog() };
  return runHealthcheck(deps, healthcheckInput.parse(input));
}

/** Says that a heartbeat ran so long ago. */
async function ranAgo(sql: postgres.Sql, name: string, ago: string, status = "healthy") {
  await sql`
    insert into job_heartbeats (job_name, last_run_at, status) values (${name}, now() - ${ago}::interval, ${status})`;
}

async function alertsOf(stage: Stage): Promise<string[]> {
  await stage.run();
  return stage.sink.deliveries().map(({ text }) => (text ?? "").split("\n", 1)[0] ?? "");
}

Deno.test("a healthcheck judges every heartbeat, keeps it as a job of its project, and a second one repeats nothing", async () => {
  await using hub = await testDatabase("hub");
  await ranAgo(hub.sql, "fresh", "1 hour");
  await ranAgo(hub.sql, "stale", "26 hours");
  await ranAgo(hub.sql, "broken", "10 minutes", "failed");
  await hub.sql`select monitoring.create_heartbeat('unwired', 'smoothed', p_expected_interval_minutes := 5)`;
  const first = await healthcheck(hub.sql);
  const brief = first.projects.map(({ project, details }) =>
    [project, details.map(({ job_name, status, verdict }) => [job_name, status, verdict])] as const
  );
  assert.deepEqual(brief, [
    ["smoothed", [["unwired", "unknown", "never_pinged"]]],
    ["thordata", [["broken", "failed", "failed"], ["fresh", "healthy", null], ["stale", "missed", "missed"]]],
  ]);
  assert.deepEqual([first.jobs, first.incidents_opened, first.errors], [4, 2, 0]);
  assert.equal(healthcheckEnding(first, healthcheckInput.parse({})).status, "complete");
  const second = await healthcheck(hub.sql);
  assert.deepEqual([second.missed, second.failed, second.incidents_opened], [1, 1, 0]);

  const inventory = await hub.sql`
    select project_name, job_type, job_name, schedule, expected_interval_minutes::float8 as minutes from job_inventory order by 3`;
  assert.deepEqual(inventory.map((row) => Object.values(row)), [
    ["thordata", "heartbeat", "broken", null, 1440],
    ["thordata", "heartbeat", "fresh", null, 1440],
    ["thordata", "heartbeat", "stale", null, 1440],
    ["smoothed", "heartbeat", "unwired", null, 5],
  ]);
  const log = await hub.sql`select job_name, status, source from job_health_log order by job_name, run_at`;
  assert.deepEqual(log.map((row) => Object.values(row)), [
    ["broken", "failed", "heartbeat"],
    ["fresh", "success", "heartbeat"],
    ["stale", "success", "heartbeat"],
    ["stale", "missed", "heartbeat"],
  ]);
  const [adopted] = await hub
    .sql`select count(*)::int as n from job_heartbeats where project_name = 'thordata'`;
  assert.equal(adopted?.n, 3);
});

Deno.test("a dry run answers the same and writes nothing; a project without heartbeats is said so", async () => {
  await using hub = await testDatabase("hub");
  await ranAgo(hub.sql, "stale", "26 hours");
  const report = await healthcheck(hub.sql, { dry_run: true });
  assert.deepEqual([report.missed, report.dry_run], [1, true]);
  const [count] = await hub.sql`
    select (select count(*) from job_inventory)::int + (select count(*) from incidents)::int
      + (select count(*) from job_heartbeats where project_name is not null)::int as n`;
  assert.equal(count?.n, 0);
  await assert.rejects(
    healthcheck(hub.sql, { project: "smoothed" }),
    (error) =>
      error instanceof AppError && error.code === "not_found" && /these do: thordata/.test(error.message),
  );
});

Deno.test("ten healthchecks at once open one incident and log each word once", async () => {
  await using hub = await testDatabase("hub");
  await ranAgo(hub.sql, "stale", "26 hours");
  await Promise.all(Array.from({ length: 10 }, () => healthcheck(hub.sql)));
  const [count] = await hub.sql`
    select (select count(*) from incidents)::int as incidents, (select count(*) from job_health_log)::int as rows,
           (select count(*) from job_inventory)::int as jobs`;
  assert.deepEqual({ ...count }, { incidents: 1, rows: 2, jobs: 1 });
});

Deno.test("the body that the seed's callers send is taken", () => {
  assert.deepEqual(healthcheckInput.parse({ trigger: "manual", timestamp: "2026-11-21 12:00:00+00" }), {
    source: "manual",
    dry_run: false,
  });
  assert.equal(healthcheckInput.parse({}).source, "manual");
  assert.equal(healthcheckInput.parse({ source: "cron" }).source, "cron");
  assert.equal(healthcheckInput.safeParse({ triger: "x" }).success, false);
});

Deno.test("annotations reach the alert, and a heartbeat's alert is one like any other", async () => {
  await onStage(async (stage) => {
    const { sql } = stage;
    await addDiscord(stage);
    await ranAgo(sql, "nightly_backup", "26 hours");
    await healthcheck(sql, { dry_run: true });
    await sql`
      insert into job_inventory (project_name, job_type, job_name, owner, criticality, alert_channel)
      values ('thordata', 'heartbeat', 'nightly_backup', 'dana', 'critical', 'discord')`;
    await healthcheck(sql);
    assert.deepEqual(await alertsOf(stage), ["🔴 MISSED: nightly_backup in thordata · critical"]);
    assert.match(stage.sink.deliveries()[0]?.text ?? "", /dana/);
  });
});

Deno.test("last_alert_at is when the last alert was sent: no second one within six hours, then a reminder", async () => {
  await onStage(async (stage) => {
    const { sql } = stage;
    await addDiscord(stage);
    await ranAgo(sql, "nightly", "26 hours");
    await healthcheck(sql);
    assert.equal((await alertsOf(stage)).length, 1);
    const [told] = await sql`
      select h.last_alert_at = d.sent_at as same from job_heartbeats h, alert_deliveries d where d.state = 'sent'`;
    assert.equal(told?.same, true);
    await healthcheck(sql);
    assert.equal((await alertsOf(stage)).length, 1);
    await sql`update alert_deliveries set sent_at = sent_at - interval '359 minutes'`;
    assert.equal((await alertsOf(stage)).length, 1);
    await sql`update alert_deliveries set sent_at = sent_at - interval '1 minute'`;
    assert.match((await alertsOf(stage))[1] ?? "", /STILL MISSED: nightly/);
    const [again] =
      await sql`select last_alert_at > now() - interval '1 minute' as moved from job_heartbeats`;
    assert.equal(again?.moved, true);
  });
});

Deno.test("disable all: one statement puts off every heartbeat's alerts for six hours, of what is stale and of what gets so", async () => {
  await onStage(async (stage) => {
    const { sql } = stage;
    await addDiscord(stage);
    await ranAgo(sql, "told", "26 hours");
    await ranAgo(sql, "later", "23 hours");
    await healthcheck(sql);
    assert.equal((await alertsOf(stage)).length, 1);
    await sql`update alert_deliveries set sent_at = sent_at - interval '7 hours'`;
    await sql`update job_heartbeats set last_alert_at = now()`;
    await sql`update job_heartbeats set last_run_at = now() - interval '27 hours' where job_name = 'later'`;
    const report = await healthcheck(sql);
    assert.deepEqual([report.missed, report.incidents_opened], [2, 1], "incidents are recorded all the same");
    assert.equal((await alertsOf(stage)).length, 1);
    const waits = await sql`select subject, waits_for from incident_overview where waits_for is not null`;
    assert.equal(waits[0]?.subject, "later");
    assert.match(waits[0]?.waits_for, /^Put off by hand until 20/);

    // six hours later
    await sql`update incidents set quiet_until = quiet_until - interval '6 hours', reminders_from = reminders_from - interval '6 hours'`;
    const alerts = await alertsOf(stage);
    assert.equal(alerts.length, 3);
    assert.deepEqual(alerts.slice(1).map((text) => /(STILL )?MISSED: (told|later)/.exec(text)?.[0]).sort(), [
      "MISSED: later",
      "STILL MISSED: told",
    ]);
  });
});

Deno.test("force one: NULL asks for an alert at once, also where alerts were put off; a time in between moves the next one", async () => {
  await onStage(async (stage) => {
    const { sql } = stage;
    await addDiscord(stage);
    await ranAgo(sql, "critical-job", "26 hours");
    await ranAgo(sql, "other", "26 hours");
    await healthcheck(sql);
    const before = (await alertsOf(stage)).length;
    await sql`update job_heartbeats set last_alert_at = now()`;
    await sql`update job_heartbeats set last_alert_at = null where job_name = 'critical-job'`;
    const forced = await alertsOf(stage);
    assert.equal(forced.length, before + 1);
    assert.match(forced.at(-1) ?? "", /STILL MISSED: critical-job/);
    const [row] =
      await sql`select last_alert_at > now() - interval '1 minute' as told from job_heartbeats where job_name = 'critical-job'`;
    assert.equal(row?.told, true);
    assert.equal((await alertsOf(stage)).length, forced.length, "once");
    await sql`update job_heartbeats set last_alert_at = now() - interval '5 hours 59 minutes' where job_name = 'other'`;
    assert.equal((await alertsOf(stage)).length, forced.length);
    await sql`update job_heartbeats set last_alert_at = now() - interval '6 hours 1 minute' where job_name = 'other'`;
    assert.match((await alertsOf(stage)).at(-1) ?? "", /STILL MISSED: other/);
  });
});

Deno.test("reset: marking heartbeats as recently run ends their incidents, and says so to those who were told", async () => {
  await onStage(async (stage) => {
    const { sql } = stage;
    await addDiscord(stage);
    await ranAgo(sql, "nightly", "26 hours");
    await healthcheck(sql);
    await alertsOf(stage);
    await sql`
      update job_heartbeats set last_run_at = now(), status = 'recovered', last_alert_at = now()
      where last_run_at < (now() - interval '24 hours')`;
    const report = await healthcheck(sql);
    assert.deepEqual([report.healthy, report.incidents_resolved], [1, 1]);
    const alerts = await alertsOf(stage);
    assert.equal(alerts.length, 2);
    assert.match(alerts[1] ?? "", /RECOVERED: nightly/);
  });
});

Deno.test("healthcheck_summary counts as the seed's does, and by each heartbeat's own interval where it has one", async () => {
  await using hub = await testDatabase("hub");
  const { sql } = hub;
  for (
    const [name, ago] of [["a", "1 hour"], ["b", "23 hours"], ["c", "25 hours"], ["d", "3 days"]] as const
  ) {
    await ranAgo(sql, name, ago);
  }
  await sql`update job_heartbeats set last_alert_at = now() - interval '1 hour' where job_name = 'd'`;
  const seeds = sql`
    select count(*) as total_jobs,
           count(*) filter (where last_run_at > now() - interval '24 hours') as healthy_jobs,
           count(*) filter (where last_run_at <= now() - interval '24 hours') as stale_jobs,
           count(*) filter (where last_alert_at > now() - interval '24 hours') as alerted_jobs,
           max(last_run_at) as most_recent_heartbeat, min(last_run_at) as oldest_heartbeat
    from job_heartbeats`;
  const ours = sql`
    select total_jobs, healthy_jobs, stale_jobs, alerted_jobs, most_recent_heartbeat, oldest_heartbeat from healthcheck_summary`;
  assert.deepEqual((await ours).map((row) => ({ ...row })), (await seeds).map((row) => ({ ...row })));
  await healthcheck(sql);
  assert.deepEqual(
    (await ours).map((row) => ({ ...row })),
    (await seeds).map((row) => ({ ...row })),
    "and after a check",
  );

  await sql`update job_heartbeats set expected_interval_minutes = 30 where job_name = 'a'`;
  await sql`select monitoring.create_heartbeat('e')`;
  const [now] =
    await sql`select healthy_jobs::int as healthy, stale_jobs::int as stale, unknown_jobs::int as unknown from healthcheck_summary`;
  assert.deepEqual({ ...now }, { healthy: 1, stale: 3, unknown: 1 });
});

Deno.test("a heartbeat that is removed ends its incident, and comes back with its annotations", async () => {
  await using hub = await testDatabase("hub");
  const { sql } = hub;
  await ranAgo(sql, "nightly", "26 hours");
  await healthcheck(sql);
  await sql`update job_inventory set owner = 'dana'`;
  await sql`select monitoring.remove_heartbeat('nightly')`;
  const removed = await healthcheck(sql);
  assert.deepEqual([removed.jobs, removed.incidents_resolved], [0, 1]);
  await sql`select update_job_heartbeat('nightly')`;
  assert.equal((await healthcheck(sql)).healthy, 1);
  const [job] = await sql`select owner, removed_at from job_inventory`;
  assert.deepEqual({ ...job }, { owner: "dana", removed_at: null });
  const changes = await sql`select change from inventory_changes order by id`;
  assert.deepEqual(changes.map(({ change }) => change), ["added", "removed", "returned"]);
});

Deno.test("a webhook is a heartbeat too, unless it is asked whether it is well", async () => {
  await using hub = await testDatabase("hub");
  const { sql } = hub;
  await sql`select monitoring.create_heartbeat('crm_hook', 'smoothed', p_schedule := '0 * * * *', p_job_type := 'webhook')`;
  // far from any slot: one at a slot would tell that the next ones were due too
  await sql`update job_heartbeats set last_run_at = date_trunc('hour', now()) - interval '150 minutes'`;
  assert.deepEqual(
    (await healthcheck(sql)).projects[0]?.details.map(({ job_type, status }) => [job_type, status]),
    [
      ["webhook", "healthy"],
    ],
  );
  await sql`update job_inventory set health_check_url = 'https://crm.example/health'`;
  assert.equal((await healthcheck(sql)).jobs, 0);
});
