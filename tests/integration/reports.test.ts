/** Reports on real Postgres: what they say of a hub's past, and that each goes out once, through every channel. */
import assert from "node:assert/strict";
import { channels } from "../../supabase/functions/_shared/channels/mod.ts";
import type { ChannelName } from "../../supabase/functions/_shared/domain/delivery.ts";
import { openHub } from "../../supabase/functions/_shared/hub/client.ts";
import { readReportFacts } from "../../supabase/functions/_shared/hub/reports.ts";
import type { Log } from "../../supabase/functions/_shared/log.ts";
import { reportPeriod } from "../../supabase/functions/_shared/rules/report_period.ts";
import { type ReportAnswer, runReport } from "../../supabase/functions/send-report/run.ts";
import { seedDemoHistory } from "../../scripts/local/demo_history.ts";
import { readErrors } from "../../scripts/monitor/error_table.ts";
import { openHub as openTables } from "../../scripts/monitor/hub_client.ts";
import { HOSTILE } from "../support/alerts.ts";
import { addDiscord, addIncident, makeDue, onStage, type Stage } from "../support/outbox.ts";
import { readBlocks } from "../support/markdown.ts";
import { testDatabase } from "../support/postgres.ts";
import { addTarget } from "../support/targets.ts";

const QUIET: Log = { info: () => {}, warn: () => {}, error: () => {}, with: () => QUIET };
const NAMES = Object.keys(channels) as ChannelName[];

type Report = "daily" | "weekly";

async function send(
  { hub }: Pick<Stage, "hub">,
  report: Report = "daily",
  { dryRun = false, now = new Date() }: { dryRun?: boolean; now?: Date } = {},
): Promise<ReportAnswer> {
  return await runReport({ sql: hub, log: QUIET, clock: () => now }, {
    source: "test",
    report,
    dry_run: dryRun,
  });
}

async function subscribe({ sql }: Stage, config: string, report: Report = "daily"): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    insert into report_subscriptions (report, alert_config_id) values (${report}, ${config}) returning id`;
  return row?.id ?? "";
}

async function deliveries({ sql }: Stage) {
  const rows =
    await sql`select event, state, channel, attempts, last_error from alert_deliveries order by created_at, id`;
  return rows.map((row) => ({ ...row }));
}

// --- once a period and recipient ---

Deno.test("a report goes to its subscribers through the outbox, once a period, however often it is fired", () =>
  onStage(async (stage) => {
    await subscribe(stage, await addDiscord(stage, { name: "team" }));
    const first = await send(stage);
    assert.deepEqual(first.recipients.map(({ name, result }) => [name, result]), [["team", "queued"]]);
    await stage.run();
    assert.deepEqual(stage.sink.deliveries().length, 1);
    assert.match(stage.sink.deliveries()[0]?.text ?? "", /Daily report of/);
    const again = await send(stage);
    assert.deepEqual(again.recipients.map(({ result, state }) => [result, state]), [["had", "sent"]]);
    await stage.run();
    assert.equal(stage.sink.deliveries().length, 1);
    const tomorrow = new Date(Date.now() + 86_400_000);
    assert.equal((await send(stage, "daily", { now: tomorrow })).queued, 1);
  }));

Deno.test("fired many times at once, a report is owed once", () =>
  onStage(async (stage) => {
    await subscribe(stage, await addDiscord(stage));
    const others = Array.from({ length: 5 }, () => openHub({ databaseUrl: stage.databaseUrl, caCert: null }));
    const answers = await Promise.all(others.map((hub) => send({ hub })));
    await Promise.all(others.map((hub) => hub.end({ timeout: 1 })));
    assert.equal(answers.reduce((sum, { queued }) => sum + queued, 0), 1);
    assert.equal((await deliveries(stage)).length, 1);
  }));

Deno.test("two rows that name one target get a report once between them", () =>
  onStage(async (stage) => {
    await subscribe(stage, await addDiscord(stage, { name: "one" }));
    await subscribe(stage, await addDiscord(stage, { name: "two" }));
    assert.equal((await send(stage)).queued, 1);
    assert.equal((await send(stage)).queued, 0);
    assert.equal((await deliveries(stage)).length, 1);
  }));

Deno.test("daily and weekly are reports of their own, and only those that are subscribed to are sent", () =>
  onStage(async (stage) => {
    const team = await addDiscord(stage);
    const off = await addDiscord(stage, { enabled: false });
    await subscribe(stage, team, "daily");
    await subscribe(stage, team, "weekly");
    await subscribe(stage, off, "daily");
    await stage.sql`update report_subscriptions set enabled = false where report = 'weekly'`;
    assert.equal((await send(stage, "daily")).queued, 1);
    assert.equal((await send(stage, "weekly")).queued, 0);
    await stage.sql`update report_subscriptions set enabled = true`;
    assert.equal((await send(stage, "weekly")).queued, 1);
    await stage.run();
    assert.equal(stage.sink.deliveries().length, 2);
  }));

Deno.test("a report is retried until it is sent", () =>
  onStage(async (stage) => {
    await subscribe(stage, await addDiscord(stage));
    await send(stage);
    stage.sink.script("discord", [{ status: 500, body: "down" }, { status: 503, body: "down" }]);
    for (const expected of ["due", "due", "sent"]) {
      await makeDue(stage);
      await stage.run();
      assert.deepEqual((await deliveries(stage)).map(({ state }) => state), [expected]);
    }
    assert.equal(stage.sink.deliveries().filter(({ accepted }) => accepted).length, 1);
  }));

Deno.test("what a vendor refused for good is owed again when it is fired again, and goes to nobody else", () =>
  onStage(async (stage) => {
    const dead = await addDiscord(stage);
    await addTarget(stage, "slack");
    await subscribe(stage, dead);
    await send(stage);
    stage.sink.script("discord", [{ status: 404, body: { message: "Unknown Webhook", code: 10015 } }]);
    await stage.run();
    const reports = async () => (await deliveries(stage)).filter(({ event }) => event === "report");
    assert.deepEqual((await reports()).map(({ state, channel }) => [state, channel]), [[
      "failed",
      "discord",
    ]]);
    await stage.run();
    assert.equal((await reports()).length, 1);
    assert.equal((await send(stage)).queued, 1);
    await stage.run();
    assert.deepEqual((await reports()).map(({ state }) => state), ["sent"]);
    assert.equal((await send(stage)).queued, 0);
  }));

Deno.test("a report whose row is disabled before it was sent ends there, and does not trouble the alert policy", () =>
  onStage(async (stage) => {
    const config = await addDiscord(stage);
    await subscribe(stage, config);
    await send(stage);
    await stage.sql`update alert_config set enabled = false`;
    await addDiscord(stage);
    const summary = await stage.run();
    assert.equal(summary.unroutable, 0);
    assert.deepEqual((await deliveries(stage)).map(({ state, last_error }) => [state, last_error]), [
      ["cancelled", "Its row of alert_config is disabled"],
    ]);
    await stage.sql`delete from alert_config where id = ${config}`;
    assert.equal((await stage.sql`select from report_sendings`).length, 0);
  }));

Deno.test("a row without events gets reports and never an alert, also where nobody else is left", () =>
  onStage(async (stage) => {
    const leadership = await addDiscord(stage, { name: "leadership", events: [] });
    await subscribe(stage, leadership);
    await addIncident(stage, { severity: "critical" });
    await send(stage);
    await stage.run();
    await stage.run();
    assert.deepEqual(
      (await deliveries(stage)).filter(({ state }) => state === "sent").map(({ event }) => event),
      [
        "report",
      ],
    );
  }));

Deno.test("a dry run answers text and mail and who would get it, and writes nothing", () =>
  onStage(async (stage) => {
    await seedDemoHistory(stage.sql, { days: 3 });
    await subscribe(stage, await addDiscord(stage));
    const answer = await send(stage, "daily", { dryRun: true });
    assert.equal(answer.queued, 0);
    assert.deepEqual(answer.recipients.map(({ result }) => result), ["would be queued"]);
    assert.match(answer.text ?? "", /^Daily report of .*\n\n\d+ things? need/);
    assert.match(answer.mail?.html ?? "", /^<!doctype html>/);
    const [left] = await stage.sql`
      select (select count(*) from report_sendings)::integer as sendings,
             (select count(*) from alert_deliveries where event = 'report')::integer as deliveries`;
    assert.deepEqual({ ...left }, { sendings: 0, deliveries: 0 });
  }));

// --- every channel ---

for (const name of NAMES) {
  Deno.test(`${name} takes the reports of an empty hub, of one job, of 2,000 and of hostile names`, () =>
    onStage(async (stage) => {
      const config = await addTarget(stage, name);
      await subscribe(stage, config, "daily");
      await subscribe(stage, config, "weekly");
      const grow: (() => Promise<unknown>)[] = [
        () => Promise.resolve(),
        () => seedOneJob(stage),
        () =>
          stage.sql`
            insert into job_inventory (project_name, job_name, job_user)
            select 'project_' || n % 40, 'job_' || n, 'postgres' from generate_series(1, 2000) as n`,
        () =>
          stage.sql`
            insert into job_health_daily (job_inventory_id, day, runs, successes, failures, missed)
            select id, (now() at time zone 'UTC')::date - 1, 10, 7, 3, 1 from job_inventory
            on conflict do nothing`,
        () => addHostile(stage),
      ];
      for (const [index, step] of grow.entries()) {
        await step();
        await stage.sql`delete from report_sendings`;
        assert.equal(
          (await send(stage, "daily")).queued + (await send(stage, "weekly")).queued,
          2,
          String(index),
        );
        await makeDue(stage);
        const { failed, retried, sent, deliveries } = await stage.run();
        assert.deepEqual(
          { failed, retried, sent: sent >= 2 },
          { failed: 0, retried: 0, sent: true },
          deliveries[0]?.error,
        );
      }
      assert.ok(stage.sink.deliveries().every(({ accepted }) => accepted));
      const [first] = stage.sink.deliveries();
      assert.match(first?.text ?? "", /report of/);
    }));
}

/** The demo history of one job; its incidents, alerts and numbers are there too. */
async function seedOneJob({ sql }: Stage): Promise<void> {
  await seedDemoHistory(sql, { days: 15 });
  await sql`delete from job_inventory where job_name <> 'sync_orders'`;
}

/** Jobs, errors and projects called what people and programs can think of. */
async function addHostile({ sql }: Stage): Promise<void> {
  const texts = Object.values(HOSTILE).map((text) => text.replaceAll("\u0000", "").toWellFormed()).filter((
    text,
  ) => text.trim() !== "").map((text) => text.slice(0, 2_000));
  const rows = texts.map((text) => ({
    project_name: text,
    job_name: text,
    job_user: "postgres",
    owner: text,
  }));
  await sql`insert into job_inventory ${sql(rows)}`;
  await sql`
    insert into job_health_daily (job_inventory_id, day, runs, successes, failures, missed)
    select id, (now() at time zone 'UTC')::date - 1, 100, 10, 90, 40 from job_inventory on conflict do nothing`;
  await sql`
    insert into incidents (project_name, subject_kind, subject_id, code, severity, summary, job_inventory_id)
    select project_name, 'job', id, 'failed', 'critical', owner, id from job_inventory where owner = job_name`;
}

// --- what it says ---

Deno.test("percentiles, uptime, runs and times agree with what Postgres computes from the rows themselves", async () => {
  await using db = await testDatabase("hub");
  await seedDemoHistory(db.sql, { days: 10 });
  const hub = openHub({ databaseUrl: db.url, caCert: null });
  try {
    const period = reportPeriod("daily", new Date());
    const facts = await readReportFacts(hub, period, 100);
    const expected = await db.sql<{ name: string; project: string; p50: number; p95: number }[]>`
      select project_name as project, job_name as name,
             percentile_cont(0.5) within group (order by extract(epoch from duration) * 1000) as p50,
             percentile_cont(0.95) within group (order by extract(epoch from duration) * 1000) as p95
      from job_health_log
      where status = 'success' and (run_at at time zone 'UTC')::date = ${period.from}::text::date
      group by 1, 2 order by 4 desc`;
    assert.ok(expected.length >= 10);
    assert.deepEqual(
      facts.slowest.rows.map((
        { project, name, p50, p95 },
      ) => [project, name, Math.round(p50 ?? 0), Math.round(p95 ?? 0)]),
      expected.map(({ project, name, p50, p95 }) => [project, name, Math.round(p50), Math.round(p95)]),
    );
    const [counts] = await db.sql`
      select count(*) filter (where status <> 'missed')::integer as runs, count(*) filter (where status = 'success')::integer as successes,
             count(*) filter (where status = 'failed')::integer as failures, count(*) filter (where status = 'missed')::integer as missed,
             count(*) filter (where status = 'unknown')::integer as unknown
      from job_health_log where (run_at at time zone 'UTC')::date = ${period.from}::text::date`;
    assert.deepEqual(facts.totals.now, { ...counts });
    assert.deepEqual(
      facts.errors.reduce((sum, { count }) => sum + count, 0),
      facts.totals.now.failures,
    );
    const [times] = await db.sql`
      select percentile_cont(0.5) within group (order by extract(epoch from resolved_at - opened_at) * 1000) as recovery
      from incidents where resolution = 'recovered' and (resolved_at at time zone 'UTC')::date = ${period.from}::text::date`;
    assert.equal(facts.incidents.recoveryMs, times?.recovery);
    const slowing = await db.sql<{ name: string }[]>`
      select j.job_name as name
      from job_health_daily d
      join job_health_daily b on b.job_inventory_id = d.job_inventory_id and b.day = d.day - 7
      join job_inventory j on j.id = d.job_inventory_id
      where d.day = ${period.from}::text::date and d.duration_p50 >= 1.5 * b.duration_p50
      order by d.duration_p50 / extract(epoch from b.duration_p50) desc`;
    assert.ok(slowing.some(({ name }) => name === "refresh_prices"));
    assert.deepEqual(facts.slowing.rows.map(({ name }) => name), slowing.map(({ name }) => name));
  } finally {
    await hub.end({ timeout: 1 });
  }
});

Deno.test("a week's numbers are those of its days, beside the week before", async () => {
  await using db = await testDatabase("hub");
  await seedDemoHistory(db.sql, { days: 15 });
  const hub = openHub({ databaseUrl: db.url, caCert: null });
  try {
    // the week that ends yesterday, whatever day it is
    const day = (ago: number) => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10);
    const facts = await readReportFacts(
      hub,
      { kind: "weekly", days: 7, from: day(7), to: day(1), before: day(14) },
      5,
    );
    const [week] = await db.sql`
      select sum(runs) filter (where day > ${day(8)}::text::date)::integer as runs,
             sum(failures) filter (where day > ${day(8)}::text::date)::integer as failures,
             sum(runs + missed) filter (where day <= ${day(8)}::text::date)::integer as due_before,
             (count(distinct job_inventory_id) filter (where day > ${
      day(8)
    }::text::date and duration_p95 is not null))::integer as jobs
      from job_health_daily where day between ${day(14)}::text::date and ${day(1)}::text::date`;
    assert.equal(facts.totals.now.runs, week?.runs);
    assert.equal(facts.totals.now.failures, week?.failures);
    assert.equal(facts.totals.before.runs + facts.totals.before.missed, week?.due_before);
    assert.equal(facts.slowest.rows.length, 5);
    assert.equal(facts.slowest.count, week?.jobs);
    const cost = facts.metrics.rows.find(({ name }) => name === "ai_cost_hourly");
    const [hours] = await db.sql`
      select sum(a) as total from (
        select avg(value) as a from system_metrics
        where metric_name = 'ai_cost_hourly' and recorded_at >= ${
      day(7)
    }::text::date::timestamp at time zone 'UTC'
          and recorded_at < ${day(0)}::text::date::timestamp at time zone 'UTC'
        group by date_trunc('hour', recorded_at)) as h`;
    assert.ok(Math.abs((cost?.hoursTotal ?? 0) - Number(hours?.total)) < 1e-6);
  } finally {
    await hub.end({ timeout: 1 });
  }
});

Deno.test("errors are read by fingerprint and job, with when they were first and last seen", async () => {
  await using db = await testDatabase("hub");
  await seedDemoHistory(db.sql, { days: 12 });
  const tables = openTables({
    ...{ url: "http://127.0.0.1:9", secretKey: "sb_secret_x", caCert: null, hubDatabaseUrl: db.url },
    origin: { kind: "given", text: "a test" },
  });
  try {
    await db.sql`
      insert into job_health_log (job_inventory_id, project_name, job_name, status, error_message, run_at, run_id)
      select id, project_name, job_name, 'failed', 'lost connection ' || n, now() - make_interval(hours => n), 9000 + n
      from generate_series(1, 3) as n, (select * from job_inventory where job_name = 'sync_orders') as j
      union all
      select id, project_name, job_name, 'failed', 'the call got ' || n || ' from api.acme.com after 12' || n || ' ms', now(), n
      from unnest('{404,500}'::int[]) as n, (select * from job_inventory where job_name = 'sync_orders') as j`;
    const errors = await readErrors(tables, { days: 10 });
    const first = errors.find(({ fingerprint }) => fingerprint === "lost connection <n>");
    assert.equal(first?.count, 3);
    assert.equal(first?.new_since_yesterday, true);
    for (const status of [404, 500]) {
      const named = `the call got ${status} from api.acme.com after <n> ms`;
      assert.equal(errors.find(({ fingerprint }) => fingerprint === named)?.count, 1);
    }
    assert.deepEqual(first?.by_day, [0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
    const [logged] = await db.sql`
      select count(*)::integer as count from job_health_log
      where status = 'failed' and run_at > now() - interval '10 days'`;
    assert.equal(errors.reduce((sum, { count }) => sum + count, 0), logged?.count);
    const some = await readErrors(tables, { project: "demo-shop", job: "sync_orders", days: 1 });
    assert.ok(some.every(({ job_name }) => job_name === "sync_orders"));
  } finally {
    await tables.close();
  }
});

Deno.test("how long nobody looked is read from the checks themselves, within the days that a report tells of", async () => {
  await using db = await testDatabase("hub");
  const unwatched = async () => {
    const [row] = await db.sql`
      select monitoring.unwatched('2026-11-20T00:00:00Z', '2026-11-21T00:00:00Z') as facts`;
    const { firstLookAt, unwatchedMs, longestMs, longestFrom } = row?.facts ?? {};
    const at = (ms: number | null) => ms === null ? null : new Date(ms).toISOString().slice(5, 16);
    return [at(firstLookAt), unwatchedMs / 60_000, longestMs / 60_000, at(longestFrom)];
  };
  const looks = (from: string, until: string, status = "complete") =>
    db.sql`
      insert into check_runs (function_name, source, began_at, ended_at, status)
      select 'check-job-health', 'cron', at, at, ${status}
      from generate_series(${from}::timestamptz, ${until}::timestamptz, interval '15 minutes') as at`;
  assert.deepEqual(await unwatched(), [null, 0, 0, null]);
  await looks("2026-11-19T20:00:00Z", "2026-11-19T22:00:00Z");
  // away over midnight until three, then for two hours, then but for a look that saw nothing until the day after
  await looks("2026-11-20T03:00:00Z", "2026-11-20T10:00:00Z");
  await looks("2026-11-20T12:00:00Z", "2026-11-20T20:00:00Z", "partial");
  await looks("2026-11-20T21:30:00Z", "2026-11-20T21:30:00Z", "failed");
  assert.deepEqual(await unwatched(), ["11-19T20:00", 180 + 120 + 240, 240, "11-20T20:00"]);
  await looks("2026-11-20T20:15:00Z", "2026-11-20T23:00:00Z");
  await looks("2026-11-21T02:00:00Z", "2026-11-21T02:00:00Z");
  assert.deepEqual(await unwatched(), ["11-19T20:00", 180 + 120 + 60, 180, "11-20T00:00"]);
  await db.sql`delete from check_runs where began_at < '2026-11-20T12:00:00Z'`;
  assert.deepEqual(await unwatched(), ["11-20T12:00", 60, 60, "11-20T23:00"]);
});

Deno.test("what is folded when it is logged keeps different errors apart", async () => {
  await using db = await testDatabase("hub");
  const yesterday = new Date(Math.floor(Date.now() / 86_400_000) * 86_400_000 - 10_800_123);
  await db.sql`
    select monitoring.ensure_partition('job_health_log', (now() at time zone 'UTC')::date - n) from generate_series(0, 1) as n`;
  await db.sql`insert into job_inventory (project_name, job_name, job_user) values ('p', 'a', 'postgres')`;
  await db.sql`
    insert into job_health_log (job_inventory_id, project_name, job_name, status, error_message, run_at, collected_at)
    select id, project_name, job_name, status, message, at, at
    from job_inventory, (select ${yesterday}::timestamptz) as t(at),
         (values ('failed', 'can''t open user''s file'), ('failed', 'can''t parse user''s file'),
                 ('failed', 'no row 17 of ''a'' in "b"'), ('failed', 'no row 4 of ''c'' in "d"'), ('failed', null),
                 ('success', null)) as m(status, message)`;
  const folded = await db.sql`
    select status, folded_error, count(*)::integer from job_health_log
    group by 1, 2 order by 1, 2`;
  assert.deepEqual(folded.map((row) => Object.values(row)), [
    ["failed", "", 1],
    ["failed", "can't open user's file", 1],
    ["failed", "can't parse user's file", 1],
    ["failed", "no row 0 of ? in ?", 2],
    ["success", null, 1],
  ]);
  const hub = openHub({ databaseUrl: db.url, caCert: null });
  try {
    const { errors } = await readReportFacts(hub, reportPeriod("daily", new Date()), 100);
    assert.deepEqual(errors.map(({ count }) => count).sort(), [1, 1, 1, 2]);
  } finally {
    await hub.end({ timeout: 1 });
  }
});

Deno.test("the largest numbers that a metric may have can be averaged", async () => {
  await using db = await testDatabase("hub");
  await seedDemoHistory(db.sql, { days: 9 });
  await db.sql`
    update system_metrics set value = case when extract(hour from recorded_at)::integer % 2 = 0 then 1e100 else -1e100 end
    where metric_name = 'database_size'`;
  const hub = openHub({ databaseUrl: db.url, caCert: null });
  try {
    const facts = await readReportFacts(hub, reportPeriod("daily", new Date()), 100);
    const size = facts.metrics.rows.find(({ name }) => name === "database_size");
    assert.equal(size?.most, 1e100);
    assert.ok(Number.isFinite(size.average));
  } finally {
    await hub.end({ timeout: 1 });
  }
});

Deno.test("the SQL of docs/REPORTS.md subscribes leadership to the weekly report and to no alert", () =>
  onStage(async (stage) => {
    const page = await Deno.readTextFile(new URL("../../docs/REPORTS.md", import.meta.url));
    const blocks = readBlocks(page).filter(({ language }) => language === "sql");
    assert.equal(blocks.length, 1);
    for (const { text } of blocks) await stage.sql.unsafe(text).simple();
    const { recipients } = await send(stage, "weekly", { dryRun: true });
    assert.deepEqual(recipients.map(({ name, channel, result }) => [name, channel, result]), [
      ["leadership", "resend", "would be queued"],
    ]);
    assert.deepEqual((await send(stage, "daily", { dryRun: true })).recipients, []);
  }));

Deno.test("both reports are scheduled in UTC at nine, the weekly one on Mondays", async () => {
  await using db = await testDatabase("hub");
  const rows = await db
    .sql`select job_name, schedule from monitoring.schedules where job_name like 'send-%-report' order by 1`;
  assert.deepEqual(rows.map(({ job_name, schedule }) => [job_name, schedule]), [
    ["send-daily-report", "0,20,40 9 * * *"],
    ["send-weekly-report", "0,20,40 9 * * 1"],
  ]);
});
