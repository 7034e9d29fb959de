/** What monitoring.purge() keeps, deletes and rolls up, on a hub with 100 days of history. */
import assert from "node:assert/strict";
import postgres from "postgres";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

interface Purged {
  daily: number;
  inventory_changes: number;
  check_runs: number;
  cron_runs: number;
  partitions: number;
  function_reports: number;
  heartbeat_pings: number;
  alerts: Record<string, number>;
  metrics: Record<string, number>;
  postponed?: string;
}

async function purge(db: TestDatabase, batch?: [rows: number, batches: number]): Promise<Purged> {
  const [row] = batch === undefined
    ? await db.sql`select monitoring.purge() as done`
    : await db.sql`select monitoring.purge(${batch[0]}, ${batch[1]}) as done`;
  return row?.done as Purged;
}

async function rollUp(db: TestDatabase): Promise<number> {
  const [row] = await db.sql`select monitoring.roll_up() as rows`;
  return row?.rows;
}

const JOB = "11111111-1111-4111-8111-111111111111";

/** A job with a partition and 24 runs a day for 100 days: one failed and one slot missed each day. */
async function hundredDays(db: TestDatabase): Promise<void> {
  await db
    .sql`insert into job_inventory (id, project_name, job_name) values (${JOB}, 'smoothed', 'sync_leads')`;
  await db.sql`
    select monitoring.ensure_partition('job_health_log', (now() at time zone 'UTC')::date - ago) from generate_series(0, 100) ago`;
  await db.sql`
    insert into job_health_log
      (job_inventory_id, project_name, job_name, status, run_at, run_id, duration, collected_at)
    select ${JOB}, 'smoothed', 'sync_leads', case hour when 5 then 'failed' when 6 then 'missed' else 'success' end,
           slot, ago * 24 + hour, case when hour <> 6 then make_interval(secs => hour) end, slot + interval '1 minute'
    from generate_series(1, 100) ago cross join generate_series(0, 23) hour
    cross join lateral (select ((now() at time zone 'UTC')::date - ago + make_interval(hours => hour)) at time zone 'UTC' as slot) s`;
  await db.sql`
    insert into job_health_daily (job_inventory_id, day, runs, successes, failures, missed)
    select job_inventory_id, (run_at at time zone 'UTC')::date, count(*) filter (where status <> 'missed'),
           count(*) filter (where status = 'success'), count(*) filter (where status = 'failed'),
           count(*) filter (where status = 'missed')
    from job_health_log group by 1, 2`;
}

Deno.test("purge() drops the partitions older than the setting and keeps a week of them ahead", async () => {
  await using db = await testDatabase("hub");
  await hundredDays(db);
  const done = await purge(db);
  assert.equal(done.partitions, 10);
  const [kept] = await db.sql`
    select count(*)::int as n, min(relname) = 'job_health_log_' || to_char((now() at time zone 'UTC')::date - 90, 'YYYYMMDD') as oldest,
      max(relname) = 'job_health_log_' || to_char((now() at time zone 'UTC')::date + 7, 'YYYYMMDD') as newest
    from pg_inherits join pg_class c on c.oid = inhrelid where inhparent = 'public.job_health_log'::regclass`;
  assert.deepEqual({ ...kept }, { n: 98, oldest: true, newest: true });
  assert.equal((await purge(db)).partitions, 0);
  await db.sql`update app_settings set value = '10' where key = 'health_log_days'`;
  assert.equal((await purge(db)).partitions, 80);
});

Deno.test("roll_up() computes the durations of each past day as percentile_cont does, and uptime follows the counts", async () => {
  await using db = await testDatabase("hub");
  await hundredDays(db);
  assert.equal(await rollUp(db), 89, "of the older days the log is incomplete");
  const [yesterday] = await db.sql`
    select runs::int, successes::int, failures::int, missed::int, uptime::float8,
      extract(epoch from duration_p50)::float8 as p50, extract(epoch from duration_p95)::float8 as p95
    from job_health_daily where day = (now() at time zone 'UTC')::date - 1`;
  const [oracle] = await db.sql`
    select percentile_cont(0.5) within group (order by hour)::float8 as p50,
      percentile_cont(0.95) within group (order by hour)::float8 as p95
    from generate_series(0, 23) hour where hour not in (5, 6)`;
  assert.deepEqual({ ...yesterday }, {
    runs: 23,
    successes: 22,
    failures: 1,
    missed: 1,
    uptime: 0.9167,
    ...oracle,
  });
  const [old] = await db.sql`
    select duration_p50, durations_at from job_health_daily where day = (now() at time zone 'UTC')::date - 95`;
  assert.deepEqual({ ...old }, { duration_p50: null, durations_at: null });
});

Deno.test("a run that is collected late is rolled up again with its day", async () => {
  await using db = await testDatabase("hub");
  await hundredDays(db);
  await rollUp(db);
  assert.equal(await rollUp(db), 0);
  const late = {
    job_inventory_id: JOB,
    status: "success",
    run_id: 1,
    duration_ms: 90_000,
    source: "pg_cron",
  };
  await db.sql`
    select monitoring.record_runs('smoothed', jsonb_build_array(${
    db.sql.json(late)
  }::jsonb || jsonb_build_object(
      'run_at', ((now() at time zone 'UTC')::date - 3)::timestamp at time zone 'UTC' + interval '90 minutes')), true)`;
  assert.equal(await rollUp(db), 1);
  const [day] = await db.sql`
    select runs::int, extract(epoch from duration_p95)::float8 as p95 from job_health_daily
    where day = (now() at time zone 'UTC')::date - 3`;
  const [oracle] = await db.sql`
    select percentile_cont(0.95) within group (order by seconds)::float8 as p95
    from (select hour from generate_series(0, 23) hour where hour not in (5, 6) union all select 90) r(seconds)`;
  assert.deepEqual({ ...day }, { runs: 24, ...oracle });
});

Deno.test("where successes are only counted, nobody makes up how long they took", async () => {
  await using db = await testDatabase("hub");
  await db
    .sql`insert into job_inventory (id, project_name, job_name) values (${JOB}, 'smoothed', 'sync_leads')`;
  const runs = ["success", "success", "failed"].map((status, index) => ({
    job_inventory_id: JOB,
    status,
    run_id: index,
    duration_ms: 1_000,
    run_at: new Date(Date.now() - 86_400_000).toISOString(),
    source: "pg_cron",
  }));
  await db.sql`select monitoring.record_runs('smoothed', ${db.sql.json(runs)}::jsonb, false)`;
  await rollUp(db);
  const [day] = await db.sql`
    select runs::int, successes::int, failures::int, duration_p50, duration_p95, durations_at is not null as computed
    from job_health_daily`;
  assert.deepEqual({ ...day }, {
    runs: 3,
    successes: 2,
    failures: 1,
    duration_p50: null,
    duration_p95: null,
    computed: true,
  });
});

Deno.test("a run whose HTTP call failed is counted once, as failed; a call of no run is not counted", async () => {
  await using db = await testDatabase("hub");
  await db
    .sql`insert into job_inventory (id, project_name, job_name) values (${JOB}, 'smoothed', 'sync_leads')`;
  const row = (status: string, source: string, run_id: number | null) => ({
    job_inventory_id: JOB,
    status,
    source,
    run_id,
    run_at: "2026-11-20T12:00:00Z",
  });
  const first = [row("success", "pg_cron", 1), row("success", "pg_cron", 2), row("success", "http", 1)];
  await db.sql`select monitoring.record_runs('smoothed', ${db.sql.json(first)}::jsonb, true)`;
  const second = [row("failed", "http", 2), row("failed", "http", null)];
  await db.sql`select monitoring.record_runs('smoothed', ${db.sql.json(second)}::jsonb, true)`;
  const [day] = await db.sql`
    select runs::int, successes::int, failures::int, uptime::float8 from job_health_daily`;
  assert.deepEqual({ ...day }, { runs: 2, successes: 1, failures: 1, uptime: 0.5 });
  const [log] = await db.sql`select count(*)::int as n from job_health_log where source = 'http'`;
  assert.equal(log?.n, 3);
});

Deno.test("an open incident of 100 days ago survives with the job it is about and what was told of it", async () => {
  await using db = await testDatabase("hub");
  await hundredDays(db);
  await db.sql`
    with incident as (
      insert into incidents (project_name, subject_kind, subject_id, code, severity, summary, job_inventory_id, opened_at, detail)
      values ('smoothed', 'job', ${JOB}, 'failed', 'important', 'the last run failed', ${JOB}, now() - interval '100 days',
              '{"recentRuns": [{"runId": 2405, "status": "failed", "startedAt": null, "endedAt": null}]}')
      returning id
    ), delivery as (
      insert into alert_deliveries (channel, event, state, created_at, sent_at)
      values ('discord', 'opened', 'sent', now() - interval '100 days', now() - interval '100 days') returning id
    )
    insert into delivery_incidents (delivery_id, incident_id) select d.id, i.id from delivery d, incident i`;
  await purge(db);
  const kept = await db.sql`
    select i.summary, i.detail -> 'recentRuns' -> 0 ->> 'runId' as run, j.job_name, d.state
    from incidents i join job_inventory j on j.id = i.job_inventory_id
    join delivery_incidents t on t.incident_id = i.id join alert_deliveries d on d.id = t.delivery_id`;
  assert.deepEqual(kept.map((row) => ({ ...row })), [
    { summary: "the last run failed", run: "2405", job_name: "sync_leads", state: "sent" },
  ]);
});

Deno.test("purge() deletes in batches and leaves the rest for the next day", async () => {
  await using db = await testDatabase("hub");
  await db
    .sql`insert into job_inventory (id, project_name, job_name) values (${JOB}, 'smoothed', 'sync_leads')`;
  await db.sql`
    insert into job_health_daily (job_inventory_id, day, runs, durations_at)
    select ${JOB}, (now() at time zone 'UTC')::date - ago, 1, now() from generate_series(395, 450) ago`;
  await db.sql`
    insert into check_runs (function_name, source, status, began_at)
    select 'send-alert', 'cron', 'complete', now() - make_interval(days => ago) from generate_series(85, 100) ago`;
  await db.sql`
    insert into inventory_changes (project_name, job_type, job_name, change, noticed_at)
    select 'smoothed', 'pg_cron', 'sync_leads', 'added', now() - make_interval(days => ago) from generate_series(399, 410) ago`;
  const { daily, check_runs, inventory_changes } = await purge(db, [4, 2]);
  assert.deepEqual([daily, check_runs, inventory_changes], [8, 8, 8]);
  const rest = await purge(db);
  assert.deepEqual([rest.daily, rest.check_runs, rest.inventory_changes], [42, 3, 3]);
  const [left] = await db.sql`select count(*)::int as n from job_health_daily`;
  assert.equal(left?.n, 6);
});

Deno.test("purge() clears what functions report, pings, what was told, and metrics, and says how many of each", async () => {
  await using db = await testDatabase("hub");
  await db.sql`
    insert into function_minutes (project_name, function_name, source, minute, invocations, errors, client_errors, duration_total_ms, duration_max_ms)
    select 'smoothed', 'sync-leads', 'log', date_trunc('minute', now()) - make_interval(days => ago), 1, 0, 0, 1, 1 from generate_series(85, 94) ago`;
  await db.sql`
    insert into function_executions (id, project_name, function_name, status, started_at)
    select gen_random_uuid(), 'smoothed', 'sync-leads', 'success', now() - make_interval(days => ago) from generate_series(29, 32) ago`;
  await db.sql`
    insert into function_drain_batches (digest, received_at) values ('old', now() - interval '25 hours'), ('new', now())`;
  await db.sql`insert into job_heartbeats (job_name, status) values ('import', 'never pinged')`;
  await db.sql`
    insert into monitoring.heartbeat_pings (job_name, kind, received_at)
    select 'import', 'success', now() - make_interval(days => 200 - n) from generate_series(1, 150) n`;
  await db.sql`
    insert into incidents (project_name, subject_kind, subject_id, code, severity, summary, opened_at, resolved_at, resolution)
    select 'smoothed', 'project', 'smoothed', 'unreachable', 'low', 'it was away', now() - interval '401 days',
           case when resolved then now() - interval '401 days' end, case when resolved then 'recovered' end
    from (values (true), (false)) v(resolved)`;
  await db.sql`
    insert into silences (project_name, job_pattern, starts_at, ends_at, created_by, reason)
    values ('smoothed', '*', now() - interval '101 days', now() - interval '100 days', 'dana', 'migration')`;
  await db.sql`
    insert into alert_deliveries (channel, event, state, last_error, created_at, settled_at)
    values ('discord', 'opened', 'failed', 'refused', now() - interval '100 days', now() - interval '100 days')`;
  await db.sql`
    select monitoring.ensure_partition('system_metrics', (now() at time zone 'UTC')::date - 500)`;
  const done = await purge(db, [2, 20]);
  assert.deepEqual([done.function_reports, done.heartbeat_pings], [5 + 3 + 1, 50]);
  assert.deepEqual(done.alerts, { deliveries_deleted: 1, silences_deleted: 1, incidents_deleted: 1 });
  assert.equal(done.metrics["partitions"], 1);
  const [left] = await db.sql`
    select (select count(*)::int from incidents where resolved_at is null) as open,
           (select count(*)::int from function_minutes) as minutes, (select count(*)::int from function_executions) as executions,
           (select count(*)::int from monitoring.heartbeat_pings) as pings`;
  assert.deepEqual({ ...left }, { open: 1, minutes: 5, executions: 1, pings: 100 });
});

Deno.test("purge() calls every function that clears something", async () => {
  await using db = await testDatabase("hub");
  const rows = await db.sql<{ name: string; called: boolean }[]>`
    select f.proname as name,
           exists (select from pg_proc p where p.oid = 'monitoring.purge(integer,integer)'::regprocedure
                   and p.prosrc like '%monitoring.' || f.proname || '(%') as called
    from pg_proc f where f.pronamespace = 'monitoring'::regnamespace and f.proname ~ '^(purge|prune)_'`;
  assert.ok(rows.length >= 6);
  assert.deepEqual(rows.filter(({ called }) => !called).map(({ name }) => name), []);
});

Deno.test("runs of a schedule of ours whose command has changed since go too", async () => {
  await using db = await testDatabase("hub");
  const [job] = await db.sql`select cron.schedule('send-alert', '* * * * *', 'select 2') as id`;
  await db.admin`
    insert into cron.job_run_details (runid, jobid, database, username, command, status, start_time, end_time)
    select n, case when n < 4 then ${job?.id}::bigint else 999 end, 'postgres', 'postgres', 'select 1', 'succeeded',
           now() - interval '20 days', now() - interval '20 days' from generate_series(1, 6) n`;
  assert.equal((await purge(db)).cron_runs, 3);
});

/** Rows of the hub's own pg_cron, one of ours and one of another job a day, oldest first. */
async function cronHistory(db: TestDatabase, days: number): Promise<void> {
  await db.admin`
    insert into cron.job_run_details (runid, jobid, database, username, command, status, start_time, end_time)
    select row_number() over (order by ago desc, ours desc), 1, 'postgres', 'postgres',
           case when ours then 'select monitoring.purge()' else 'select 1' end, 'succeeded',
           now() - make_interval(days => ago), now() - make_interval(days => ago)
    from generate_series(0, ${days}::int) ago cross join (values (true), (false)) v(ours)`;
}

async function runsLeft(db: TestDatabase): Promise<{ ours: number; others: number }> {
  const [row] = await db.sql`
    select (count(*) filter (where command <> 'select 1'))::int as ours, (count(*) filter (where command = 'select 1'))::int as others
    from cron.job_run_details`;
  return { ours: row?.ours, others: row?.others };
}

Deno.test("of the hub's pg_cron history, our own runs of more than 14 days go; others' only where the setting says so", async () => {
  await using db = await testDatabase("hub");
  await cronHistory(db, 29);
  assert.equal((await purge(db, [7, 3])).cron_runs, 11, "three pages of seven rows");
  assert.equal((await purge(db, [7, 10])).cron_runs, 5);
  assert.deepEqual(await runsLeft(db), { ours: 14, others: 30 });
  await db.sql`update app_settings set value = 'all' where key = 'cron_history_jobs'`;
  assert.equal((await purge(db)).cron_runs, 16);
  assert.deepEqual(await runsLeft(db), { ours: 14, others: 14 });
  assert.equal((await purge(db)).cron_runs, 0);
});

Deno.test("the newest run, runs in progress and rows that somebody has locked stay", async () => {
  await using db = await testDatabase("hub");
  await cronHistory(db, 3);
  await db
    .admin`update cron.job_run_details set start_time = start_time - interval '30 days', command = 'select monitoring.purge()'`;
  await db.admin`update cron.job_run_details set status = 'running' where runid = 3`;
  const other = postgres(db.adminUrl, { max: 1 });
  try {
    await other.unsafe("begin; select from cron.job_run_details where runid = 4 for update").simple();
    assert.equal((await purge(db)).cron_runs, 5);
    const left = await db.sql`select runid::int from cron.job_run_details order by runid`;
    assert.deepEqual(left.map(({ runid }) => runid), [3, 4, 8]);
  } finally {
    await other.unsafe("rollback").simple();
    await other.end();
  }
});

Deno.test("while the log is in use its old partitions stay, and everything else is done", async () => {
  await using db = await testDatabase("hub");
  await hundredDays(db);
  const reader = postgres(db.url, { max: 1 });
  try {
    await reader.unsafe("begin; select count(*) from job_health_log").simple();
    const done = await purge(db);
    assert.equal(done.partitions, 0);
    assert.match(done.postponed ?? "", /is in use/);
  } finally {
    await reader.unsafe("rollback").simple();
    await reader.end();
  }
  assert.equal((await purge(db)).partitions, 10);
});

Deno.test("the settings of retention refuse nonsense in words", async () => {
  await using db = await testDatabase("hub");
  const mistakes: [key: string, value: string, expected: RegExp][] = [
    ["health_log_days", "0", /health_log_days is a whole number of days, 1 or more/],
    ["health_daily_days", "forever", /health_daily_days is a whole number of days, 1 or more/],
    ["cron_history_days", "-1", /cron_history_days is a whole number of days, 1 or more/],
    ["cron_history_jobs", "mine", /cron_history_jobs is ours or all/],
  ];
  for (const [key, value, expected] of mistakes) {
    await assert.rejects(db.sql`update app_settings set value = ${value} where key = ${key}`, expected);
  }
});
