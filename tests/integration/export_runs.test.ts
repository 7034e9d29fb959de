/** Runs and incidents told to others: to an OTLP endpoint, and to Sentry's crons. */
import assert from "node:assert/strict";
import { isWanted, runExport } from "../../supabase/functions/export-runs/run.ts";
import { createOtlp, type FakeOtlp } from "../fakes/otlp.ts";
import { createWatchdogs, type FakeWatchdogs } from "../fakes/watchdogs.ts";
import { configFor, recordingLog } from "../support/functions.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

const OTLP = "https://traces.example.com/api/public/otel";

interface World {
  db: TestDatabase;
  otlp: FakeOtlp;
  sentry: FakeWatchdogs;
  export(env?: Record<string, string>, dryRun?: true): ReturnType<typeof runExport>;
  env: { OTLP_ENDPOINT: string; OTLP_HEADERS: string };
  dsn: { SENTRY_DSN: string };
}

/** A hub with a job that is critical and one that is not, from whose first look on everything is told. */
async function world(db: TestDatabase): Promise<World> {
  const [otlp, sentry] = [createOtlp(), createWatchdogs()];
  await db
    .sql`select monitoring.ensure_partition('job_health_log', (now() at time zone 'UTC')::date - d) from generate_series(0, 1) as d`;
  await db.sql`
    insert into job_inventory (project_name, job_name, job_user, schedule, criticality) values
      ('smoothed', 'sync_leads', 'postgres', '*/15 * * * *', 'critical'),
      ('smoothed', 'purge', 'postgres', '30 seconds', 'low')`;
  await db
    .sql`insert into project_state (project_name, settings) values ('smoothed', '{"timeZone": "Europe/Berlin"}')`;
  const env = { OTLP_ENDPOINT: OTLP, OTLP_HEADERS: otlp.headers };
  const fetch =
    ((url: URL, init: RequestInit) =>
      (url.hostname === "traces.example.com" ? otlp : sentry).handle(
        new Request(url, init),
      )) as typeof globalThis.fetch;
  return {
    db,
    otlp,
    sentry,
    env,
    dsn: { SENTRY_DSN: `https://${sentry.publicKey}@sentry.example.com${sentry.dsnPath}` },
    export: (secrets = env, dryRun) =>
      runExport(
        { sql: db.sql, config: configFor(db, {}, secrets), log: recordingLog(), fetch },
        { dry_run: dryRun === true },
      ),
  };
}

/** Runs of a job that were collected so many minutes ago. */
async function logged(
  db: TestDatabase,
  job: string,
  minutesAgo: number,
  status = "success",
  error: string | null = null,
) {
  await db.sql`
    insert into job_health_log (job_inventory_id, project_name, job_name, status, error_message, run_at, run_id, duration, collected_at)
    select id, project_name, job_name, ${status}, ${error}, now() - make_interval(mins => ${
    minutesAgo + 2
  }), 7,
           case when ${status} <> 'missed' then interval '1.25 seconds' end, now() - make_interval(mins => ${minutesAgo})
    from job_inventory where job_name = ${job}`;
}

Deno.test("runs and incidents that are over become spans of their own trace, each told once", async () => {
  await using db = await testDatabase("hub");
  const { otlp, env, export: run } = await world(db);
  await logged(db, "sync_leads", 20);
  await logged(
    db,
    "sync_leads",
    10,
    "failed",
    "ERROR: no answer from postgresql://bob:s3cret-word@db/x, own-word",
  );
  await logged(db, "purge", 5, "missed");
  await db.sql`
    insert into incidents (project_name, subject_kind, subject_id, code, severity, summary, opened_at, resolved_at, resolution) values
      ('smoothed', 'job', 'x', 'failed', 'critical', '3 runs failed', now() - interval '40 minutes', now() - interval '3 minutes', 'recovered'),
      ('smoothed', 'job', 'y', 'missed', 'low', 'still so', now() - interval '40 minutes', null, null)`;
  const secrets = { ...env, MY_DATABASE_URL: "postgres://bob:own-word@db.example.com/x" };
  assert.deepEqual(await run(secrets), {
    exports: [{ exporter: "traces", busy: false, sent: 4, refused: 0, error: null }],
  });
  assert.deepEqual(otlp.taken.map(({ name, project, status }) => [name, project, status.code]), [
    ["sync_leads", "smoothed", 1],
    ["sync_leads", "smoothed", 2],
    ["purge", "smoothed", 2],
    ["incident failed", "smoothed", 2],
  ]);
  const [first, failed] = otlp.taken;
  assert.equal(BigInt(first?.endTimeUnixNano ?? 0) - BigInt(first?.startTimeUnixNano ?? 0), 1_250_000_000n);
  assert.doesNotMatch(JSON.stringify(failed), /s3cret-word|own-word/);
  const again = await run();
  assert.equal(again.exports[0]?.sent, 0);
  await logged(db, "sync_leads", 1);
  assert.equal((await run()).exports[0]?.sent, 1);
  assert.equal(new Set(otlp.taken.map(({ traceId }) => traceId)).size, 5);
});

Deno.test("a batch has 500 spans at most, and nothing is left out between batches", async () => {
  await using db = await testDatabase("hub");
  const { otlp, export: run } = await world(db);
  // one check logs all of these at the same instant
  await db.sql`
    insert into job_health_log (job_inventory_id, project_name, job_name, status, run_at, duration, collected_at)
    select id, project_name, job_name, 'success', now() - interval '10 minutes', '1 second', now() - interval '5 minutes'
    from job_inventory, generate_series(1, 1203) where job_name = 'purge'`;
  assert.equal((await run()).exports[0]?.sent, 1203);
  assert.deepEqual(otlp.batches, [500, 500, 203]);
  assert.equal(new Set(otlp.taken.map(({ spanId }) => spanId)).size, 1203);
});

Deno.test("what an endpoint does not take for now is sent again, what it refuses for good is not", async () => {
  await using db = await testDatabase("hub");
  const { otlp, export: run } = await world(db);
  await logged(db, "sync_leads", 10);
  for (const status of [503, 429, 401, 404]) {
    otlp.script(() => new Response("no", { status }));
    const [report] = (await run()).exports;
    assert.deepEqual([report?.sent, report?.refused], [0, 0], String(status));
    assert.match(report?.error ?? "", new RegExp(`answered ${status}`));
  }
  const page = { headers: { "content-type": "text/html" } };
  otlp.script(() => new Response("\n<!doctype html><title>Sign in</title>", page));
  const [taken] = (await run()).exports;
  assert.deepEqual([taken?.sent, taken?.error], [
    0,
    "the endpoint answered 200 with a web page; is its address right?",
  ]);
  otlp.script(() => Response.json({ partialSuccess: { rejectedSpans: "1", errorMessage: "too old" } }));
  assert.deepEqual((await run()).exports[0]?.refused, 1);
  await logged(db, "sync_leads", 5);
  otlp.script(() => new Response("bad", { status: 400 }));
  assert.deepEqual((await run()).exports[0]?.refused, 1);
  assert.deepEqual((await run()).exports[0], {
    exporter: "traces",
    busy: false,
    sent: 0,
    refused: 0,
    error: null,
  });
});

Deno.test("what a transaction that is still open has logged is told once it is there", async () => {
  await using db = await testDatabase("hub");
  const { otlp, export: run } = await world(db);
  const other = await db.sql.reserve();
  await other`begin`;
  await other`
    insert into job_health_log (job_inventory_id, project_name, job_name, status, run_at)
    select id, project_name, job_name, 'success', now() from job_inventory where job_name = 'sync_leads'`;
  await logged(db, "purge", 10);
  await run();
  assert.deepEqual(otlp.taken.map(({ name }) => name), ["purge"]);
  await other`commit`;
  other.release();
  await run();
  assert.deepEqual(otlp.taken.map(({ name }) => name), ["purge", "sync_leads"]);
});

Deno.test("two exports at once tell nothing twice", async () => {
  await using db = await testDatabase("hub");
  const { otlp, export: run } = await world(db);
  await logged(db, "sync_leads", 10);
  const reports = (await Promise.all([run(), run()])).flatMap(({ exports }) => exports);
  assert.equal(otlp.taken.length, 1);
  assert.equal(reports.reduce((sum, { sent }) => sum + sent, 0), 1);
});

Deno.test("an endpoint in our own network, or one that is no URL, is refused and stops nothing else", async () => {
  await using db = await testDatabase("hub");
  const { export: run, env, dsn, sentry } = await world(db);
  await db.sql`update app_settings set value = 'all' where key = 'sentry_job_check_ins'`;
  await logged(db, "sync_leads", 10);
  for (
    const [endpoint, expected] of [
      ["http://169.254.169.254/otel", /Cannot send to host "169.254.169.254"/],
      ["nonsense", /OTLP_ENDPOINT/],
    ] as const
  ) {
    const { exports: [traces] } = await run({ ...env, ...dsn, OTLP_ENDPOINT: endpoint });
    assert.match(traces?.error ?? "", expected);
  }
  const { exports: [badHeaders] } = await run({ ...env, OTLP_HEADERS: "nonsense" });
  assert.match(badHeaders?.error ?? "", /OTLP_HEADERS/);
  assert.equal(sentry.taken.length, 1);
});

Deno.test("Sentry hears how the last run of each wanted job went, with its schedule, once", async () => {
  await using db = await testDatabase("hub");
  const { export: run, dsn, sentry } = await world(db);
  await logged(db, "sync_leads", 10);
  await run(dsn);
  assert.equal(sentry.taken.length, 0, "nothing unless it is wanted");
  await db.sql`update app_settings set value = 'important' where key = 'sentry_job_check_ins'`;
  await logged(db, "sync_leads", 4, "success");
  await logged(db, "sync_leads", 3, "failed", "ERROR: x");
  await logged(db, "purge", 3);
  await db.sql`update monitoring.export_state set runs_at = now() - interval '1 hour'`;
  assert.equal((await run(dsn)).exports[0]?.sent, 1);
  const [checkIn] = sentry.taken;
  assert.equal(checkIn?.news, "error");
  const { monitor_config: monitor, duration } = checkIn?.body as { monitor_config: object; duration: number };
  assert.equal(duration, 1.25);
  assert.deepEqual(monitor, {
    schedule: { type: "crontab", value: "*/15 * * * *" },
    timezone: "Europe/Berlin",
    checkin_margin: 25,
  });
  assert.equal((await run(dsn)).exports[0]?.sent, 0);
  await db.sql`update app_settings set value = 'all' where key = 'sentry_job_check_ins'`;
  await logged(db, "purge", 0);
  await logged(db, "sync_leads", 0);
  assert.equal((await run(dsn)).exports[0]?.sent, 2);
});

Deno.test("a dry run says what waits and sends nothing", async () => {
  await using db = await testDatabase("hub");
  const { otlp, export: run, env, dsn } = await world(db);
  await run({ ...env, ...dsn });
  await logged(db, "sync_leads", 0);
  const { exports } = await run({ ...env, ...dsn }, true);
  assert.deepEqual(exports.map(({ waiting, sent }) => [waiting, sent]), [[1, 0], [0, 0]]);
  assert.equal(otlp.taken.length, 0);
});

Deno.test("where neither is set up, nothing is wanted", async () => {
  await using db = await testDatabase("hub");
  assert.equal(isWanted(configFor(db)), false);
  assert.equal(isWanted(configFor(db, {}, { OTLP_ENDPOINT: OTLP })), true);
});
