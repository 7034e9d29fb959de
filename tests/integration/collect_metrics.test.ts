import assert from "node:assert/strict";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { configFor, recordingLog, watchOnlyOthers } from "../support/functions.ts";
import { MINUTE, NOON } from "../support/facts.ts";
import { waitFor } from "../support/wait_for.ts";
import { readBlocks } from "../support/markdown.ts";
import { MonitoringAPI } from "../../scripts/monitoring_api.ts";
import {
  collectionEnding,
  type CollectionReport,
  metricInput,
  runCollection,
} from "../../supabase/functions/collect-metrics/run.ts";

/** The hub's clock of these tests: partitions of that day exist once something is recorded. */
const WEEK = 7 * 24 * 60 * MINUTE;

async function collect(
  hub: TestDatabase,
  projects: Readonly<Record<string, string>>,
  options: { at?: number; body?: Record<string, unknown> } = {},
): Promise<CollectionReport> {
  const deps = {
    sql: hub.sql,
    config: configFor(hub, projects),
    clock: () => new Date(options.at ?? NOON),
    log: recordingLog(),
  };
  return await runCollection(deps, metricInput.parse(options.body ?? {}));
}

/** A hub in which only the given definitions are on, and which does not watch itself. */
async function hubWith(
  definitions: readonly Record<string, string | number | boolean>[],
): Promise<TestDatabase> {
  const hub = await testDatabase("hub");
  await watchOnlyOthers(hub);
  await hub.sql`update metric_definitions set enabled = false`;
  for (const definition of definitions) {
    await hub.sql`insert into metric_definitions ${hub.sql({ name: "queue", ...definition })}`;
  }
  return hub;
}

/** A project with a queue of so many jobs. */
async function projectWithQueue(waiting: number): Promise<TestDatabase> {
  const db = await testDatabase("project");
  await db.sql`create table queue as select g as id from generate_series(1, ${waiting}) as g`;
  return db;
}

const QUEUE = { query: "select count(*) from public.queue", warning: 10, critical: 100, unit: "jobs" };

function outcomes(report: CollectionReport, project = "smoothed") {
  return report.projects.find((one) => one.project === project)?.metrics ?? [];
}

async function incidents(hub: TestDatabase) {
  const rows = await hub.sql`
    select i.subject_id, i.code, i.severity, i.resolution,
           (select count(*)::integer from delivery_incidents t where t.incident_id = i.id) as deliveries
    from incidents i order by i.opened_at, i.code`;
  return rows.map((row) => Object.values(row));
}

Deno.test("numbers, states and incidents of every project are recorded, and their deliveries owed", async () => {
  await using hub = await hubWith([QUEUE]);
  await using smoothed = await projectWithQueue(12);
  await using crm = await projectWithQueue(3);
  await hub.sql`insert into alert_config (channel, webhook_url) values ('discord', 'env:HOOK')`;
  const projects = { smoothed: smoothed.url, crm: crm.url };
  const first = await collect(hub, projects);
  assert.deepEqual([first.numbers.ok, first.numbers.warning, first.incidents_opened, first.errors], [
    1,
    1,
    1,
    0,
  ]);
  assert.deepEqual(outcomes(first)[0]?.rows, [
    { labels: {}, value: 12, severity: "warning", alarm: "warning", summary: "12 jobs" },
  ]);
  assert.deepEqual(await incidents(hub), [["smoothed/queue", "above_warning", "important", null, 1]]);

  await smoothed.sql`insert into queue select generate_series(1, 100)`;
  await collect(hub, projects, { at: NOON + 5 * MINUTE });
  await smoothed.sql`delete from queue`;
  const last = await collect(hub, projects, { at: NOON + 10 * MINUTE });
  assert.equal(last.incidents_resolved, 2);
  assert.deepEqual(await incidents(hub), [
    ["smoothed/queue", "above_warning", "important", "recovered", 2],
    ["smoothed/queue", "above_critical", "critical", "recovered", 2],
  ]);
  const history = await hub.sql`
    select metric_name, labels, value, severity, recorded_at from system_metrics
    where project_name = 'smoothed' order by recorded_at`;
  assert.deepEqual(
    history.map((
      { recorded_at, ...row },
    ) => [(recorded_at.getTime() - NOON) / MINUTE, ...Object.values(row)]),
    [[0, "queue", {}, 12, "warning"], [5, "queue", {}, 112, "critical"], [10, "queue", {}, 0, "ok"]],
  );
  assert.equal(collectionEnding(last, metricInput.parse({})).status, "complete");
});

Deno.test("a metric is asked when its interval is over, and not before", async () => {
  await using hub = await hubWith([{ ...QUEUE, interval_minutes: 15 }]);
  await using smoothed = await projectWithQueue(1);
  const counts = [];
  for (const minutes of [0, 5, 10, 15]) {
    const report = await collect(hub, { smoothed: smoothed.url }, { at: NOON + minutes * MINUTE });
    counts.push(outcomes(report).length);
  }
  assert.deepEqual(counts, [1, 0, 0, 1]);
});

Deno.test("a broken and a slow query are findings of their own, in the answer, in the hub and as an incident", async () => {
  await using hub = await hubWith([
    QUEUE,
    { name: "broken", query: "select count(*) from nowhere" },
    { name: "slow", query: "select count(*) from pg_sleep(60)", timeout_seconds: 1, warning: 5 },
    { name: "after", query: "select 1" },
  ]);
  await using smoothed = await projectWithQueue(1);
  for (const minutes of [0, 5]) {
    const report = await collect(hub, { smoothed: smoothed.url }, { at: NOON + minutes * MINUTE });
    const byName = Object.fromEntries(
      outcomes(report).map(({ metric, status, error }) => [metric, error ?? status]),
    );
    assert.deepEqual(byName, {
      queue: "ok",
      broken: 'relation "nowhere" does not exist',
      slow: "canceling statement due to statement timeout",
      after: "ok",
    });
    assert.deepEqual([report.numbers.ok, report.failed], [2, 2]);
    assert.equal(collectionEnding(report, metricInput.parse({})).status, "complete");
  }
  const kept = await hub.sql`
    select d.name, c.status, c.failures from metric_collections c join metric_definitions d on d.id = c.metric_definition_id
    where c.status = 'failed' order by d.name`;
  assert.deepEqual(kept.map((row) => Object.values(row)), [["broken", "failed", 2], ["slow", "failed", 2]]);
  assert.deepEqual(
    (await incidents(hub)).map(([subject, code, severity]) => [subject, code, severity]).sort(),
    [
      ["smoothed/broken", "query_failed", "low"],
      ["smoothed/slow", "query_failed", "important"],
    ],
  );
});

Deno.test("a project that cannot be asked is an error of its own, and its numbers are unknown", async () => {
  await using hub = await hubWith([QUEUE]);
  await using smoothed = await projectWithQueue(12);
  await using crm = await projectWithQueue(1);
  await collect(hub, { smoothed: smoothed.url, crm: crm.url });
  const down = new URL(smoothed.url);
  down.port = "1";
  const report = await collect(hub, { smoothed: down.href, crm: crm.url }, { at: NOON + 5 * MINUTE });
  assert.deepEqual([report.errors, report.numbers.ok], [1, 1]);
  assert.match(report.projects.find(({ status }) => status === "error")?.error?.message ?? "", /refused/);
  const ending = collectionEnding(report, metricInput.parse({}));
  assert.deepEqual([ending.status, /refused/.test(ending.error ?? "")], ["partial", true]);
  const states = await hub.sql`select project_name, severity, alarm from metric_state order by project_name`;
  assert.deepEqual(states.map((row) => Object.values(row)), [["crm", "ok", "none"], [
    "smoothed",
    "unknown",
    "warning",
  ]]);
  assert.deepEqual((await incidents(hub)).map(([subject, , , resolution]) => [subject, resolution]), [[
    "smoothed/queue",
    null,
  ]]);
});

Deno.test("a project's own definition comes before the one for every project; switching off ends the incident", async () => {
  await using hub = await hubWith([QUEUE, { ...QUEUE, project_name: "smoothed", warning: 50 }]);
  await using smoothed = await projectWithQueue(12);
  await using crm = await projectWithQueue(12);
  const projects = { smoothed: smoothed.url, crm: crm.url };
  const report = await collect(hub, projects);
  assert.equal(outcomes(report)[0]?.rows[0]?.severity, "ok");
  assert.equal(outcomes(report, "crm")[0]?.rows[0]?.severity, "warning");
  await hub.sql`update metric_definitions set enabled = false where name = 'queue'`;
  await collect(hub, projects, { at: NOON + 5 * MINUTE });
  assert.deepEqual((await incidents(hub)).map(([subject, , , resolution]) => [subject, resolution]), [[
    "crm/queue",
    "removed",
  ]]);
  assert.deepEqual([...await hub.sql`select * from metric_state`], []);
});

Deno.test("a definition for a project that nobody watches is a fault in the answer; a paused project is none", async () => {
  await using hub = await hubWith([
    { ...QUEUE, project_name: "smothed" },
    { ...QUEUE, project_name: "thordata" },
    { ...QUEUE, name: "off", project_name: "nobody", enabled: false },
  ]);
  await using smoothed = await projectWithQueue(1);
  const report = await collect(hub, { smoothed: smoothed.url });
  assert.deepEqual(report.faults, ['Metric "queue" is for project "smothed", which is not watched']);
  assert.equal(collectionEnding(report, metricInput.parse({})).status, "partial");
});

Deno.test("a row that slipped past the constraints is a fault in the answer, and the others are asked", async () => {
  await using hub = await hubWith([QUEUE, { ...QUEUE, name: "odd" }]);
  await using smoothed = await projectWithQueue(1);
  await hub.sql`alter table metric_definitions drop constraint "direction is up, down or both"`;
  await hub.sql`update metric_definitions set direction = 'sideways' where name = 'odd'`;
  const report = await collect(hub, { smoothed: smoothed.url });
  assert.equal(report.faults.length, 1);
  assert.match(report.faults[0] ?? "", /^Metric "odd" is not asked: direction: /);
  assert.deepEqual(outcomes(report).map(({ metric }) => metric), ["queue"]);
});

Deno.test("a dry run of one metric answers its rows, also of one that is off, and writes nothing", async () => {
  await using hub = await hubWith([{ ...QUEUE, enabled: false }]);
  await using smoothed = await projectWithQueue(12);
  const projects = { smoothed: smoothed.url };
  const report = await collect(hub, projects, { body: { metric: "queue", dry_run: true } });
  assert.deepEqual(outcomes(report)[0]?.rows.map(({ value, severity }) => [value, severity]), [[
    12,
    "warning",
  ]]);
  for (
    const table of ["system_metrics", "metric_state", "metric_collections", "incidents", "project_state"]
  ) {
    assert.deepEqual([...await hub.sql`select * from ${hub.sql(table)}`], [], table);
  }
  const refused = (body: Record<string, unknown>) =>
    collect(hub, projects, { body }).then(() => "accepted", (error: Error) => error.message);
  assert.equal(
    await refused({ metric: "queue" }),
    'Metric "queue" is off; switch it on in metric_definitions, or try it with a dry run',
  );
  assert.match(
    await refused({ metric: "queu", dry_run: true }),
    /^Unknown metric "queu"; there are: .*queue/,
  );
  assert.match(await refused({ project: "nobody" }), /^Unknown project "nobody"/);
});

Deno.test("one metric collected now is recorded and leaves what is known of the others alone", async () => {
  await using hub = await hubWith([QUEUE, { ...QUEUE, name: "other" }]);
  await using smoothed = await projectWithQueue(12);
  const projects = { smoothed: smoothed.url };
  await collect(hub, projects);
  await collect(hub, projects, { at: NOON + MINUTE, body: { metric: "queue" } });
  const down = new URL(smoothed.url);
  down.port = "1";
  await collect(hub, { smoothed: down.href }, { at: NOON + 2 * MINUTE, body: { metric: "queue" } });
  const states = await hub.sql`
    select d.name, s.severity, s.recorded_at from metric_state s join metric_definitions d on d.id = s.metric_definition_id
    order by d.name`;
  assert.deepEqual(
    states.map(({ name, severity, recorded_at }) => [name, severity, (recorded_at - NOON) / MINUTE]),
    [
      ["other", "warning", 0],
      ["queue", "unknown", 1],
    ],
  );
  assert.equal((await incidents(hub)).filter(([, , , resolution]) => resolution === null).length, 2);
});

Deno.test("when a check recorded the project meanwhile, the numbers are judged again and not asked again", async () => {
  await using hub = await hubWith([QUEUE]);
  await using smoothed = await projectWithQueue(12);
  // asking takes the hub's version on, as a check does that ends meanwhile
  await hub
    .sql`update metric_definitions set query = 'select count(*) from public.queue, pg_sleep(0.5)' where name = 'queue'`;
  const running = collect(hub, { smoothed: smoothed.url });
  const bumped = (async () => {
    await waitFor(
      async () => {
        const busy = await smoothed.admin`
          select from pg_stat_activity where datname = current_database() and query like 'fetch%' and state = 'active'`;
        return busy.length > 0;
      },
      { what: "the query to be asked", withinMs: 60_000, everyMs: 10 },
    );
    await hub.sql`insert into project_state (project_name, version) values ('smoothed', 7)`;
  })();
  const [report] = await Promise.all([running, bumped]);
  assert.deepEqual([report.errors, report.incidents_opened], [0, 1]);
  const [state] = await hub.sql`select version::integer from project_state where project_name = 'smoothed'`;
  assert.equal(state?.version, 8);
  assert.equal((await hub.sql`select * from system_metrics`).length, 1);
});

Deno.test("own weeks are read from what was recorded at this hour of earlier weeks, series by series", async () => {
  await using hub = await hubWith([{
    ...{
      name: "activity",
      query: "select 'a' as kind, 500 union all select 'b', 12",
      judged_by: "own weeks",
    },
    ...{ direction: "both", warning: 4, critical: 8, least_difference: 20 },
  }]);
  await using smoothed = await testDatabase("project");
  await hub.sql`select monitoring.ensure_partition('system_metrics', (d at time zone 'UTC')::date)
    from generate_series(${new Date(NOON - 8 * WEEK)}::timestamptz, ${new Date(NOON)}, '7 days') as d`;
  const keep = async (kind: string, weeksAgo: number, minutes: number, value: number) => {
    await hub.sql`
      insert into system_metrics (recorded_at, project_name, metric_name, labels, value, severity)
      values (${new Date(NOON - weeksAgo * WEEK + minutes * MINUTE)}, 'smoothed', 'activity', ${
      hub.sql.json({ kind })
    }, ${value}, 'ok')`;
  };
  for (const week of [1, 2, 3, 4, 5]) {
    for (const minutes of [-20, 0, 20]) await keep("a", week, minutes, 100 + week + minutes / 20);
    // another hour is another matter
    await keep("a", week, 120, 500);
    if (week <= 3) await keep("b", week, 0, 12);
  }
  const report = await collect(hub, { smoothed: smoothed.url });
  assert.deepEqual(
    outcomes(report)[0]?.rows.map(({ labels, severity, summary }) => [labels["kind"], severity, summary]),
    [
      ["a", "critical", "500, where 103 is usual at this hour"],
      ["b", "unknown", "4 weeks of history are needed to say what is usual at this hour"],
    ],
  );
  assert.deepEqual((await incidents(hub)).map(([subject, code]) => [subject, code]), [
    ['smoothed/activity{kind="a"}', "very_unusual"],
  ]);
});

Deno.test("the ready metrics answer on every project, as postgres and as a role of its own", async () => {
  await using hub = await testDatabase("hub");
  await watchOnlyOthers(hub);
  await using smoothed = await testDatabase("project");
  const role = `job_monitor_${crypto.randomUUID().slice(0, 8)}`;
  await smoothed.admin.unsafe(
    `create role ${role} login bypassrls password 'monitor'; grant usage on schema cron to ${role};
    grant select on cron.job, cron.job_run_details to ${role}; grant pg_monitor to ${role}`,
  );
  try {
    const own = new URL(smoothed.url);
    [own.username, own.password] = [role, "monitor"];
    const report = await collect(hub, { smoothed: smoothed.url, crm: own.href });
    for (const project of ["smoothed", "crm"]) {
      const found = Object.fromEntries(
        outcomes(report, project).map((
          { metric, status, rows },
        ) => [metric, [status, rows.map((row) => row.severity)]]),
      );
      assert.deepEqual(found, {
        cache_hit_rate: ["ok", ["unknown"]],
        connections_used: ["ok", ["ok"]],
        database_size: ["ok", ["ok"]],
        dead_tuples: ["ok", []],
        job_run_details_size: ["ok", ["ok"]],
        longest_transaction: ["ok", ["ok"]],
        pg_net_queue_depth: ["not_applicable", []],
        replication_slot_lag: ["ok", []],
        wraparound_age: ["ok", ["ok"]],
      }, project);
    }
  } finally {
    await smoothed.admin.unsafe(`drop owned by ${role}; drop role ${role}`);
  }
});

Deno.test("the ready metrics see what they are there for", async () => {
  await using hub = await testDatabase("hub");
  await hub.sql`update metric_definitions set enabled = false where name not in
    ('pg_net_queue_depth', 'longest_transaction', 'dead_tuples', 'database_size')`;
  await hub
    .sql`update metric_definitions set query = replace(query, '10000', '50') where name = 'dead_tuples'`;
  await hub.admin`insert into net.http_request_queue (method, url, timeout_milliseconds)
    select 'POST', 'http://127.0.0.1:9', 1000 from generate_series(1, 600)`;
  await hub.sql`create table churned with (autovacuum_enabled = off) as select generate_series(1, 100) as id`;
  // at the end of that statement, not when the session finds time
  await hub.sql.unsafe("delete from churned where id > 40; select pg_stat_force_next_flush()").simple();
  const holder = await hub.sql.reserve();
  try {
    await holder.unsafe("begin; select now()").simple();
    const report = await collect(hub, {});
    const rowsOf = (metric: string) =>
      outcomes(report, "thordata").find((one) => one.metric === metric)?.rows ?? [];
    assert.deepEqual(rowsOf("pg_net_queue_depth").map(({ value, severity }) => [value, severity]), [[
      600,
      "warning",
    ]]);
    assert.ok((rowsOf("longest_transaction")[0]?.value ?? 0) > 0);
    assert.ok((rowsOf("database_size")[0]?.value ?? 0) > 1_000_000);
    assert.deepEqual(rowsOf("dead_tuples").map(({ labels, value }) => [labels, value]), [
      [{ schema: "public", table: "churned" }, 60],
    ]);
  } finally {
    await holder.unsafe("rollback");
    holder.release();
  }
});

/** Tables of the applications as the monitoring guide describes them. */
const APPLICATION_TABLES = `
  create table public.ai_action_ledger (action text, model text, actor_type text, status text, total_tokens integer,
    cost_usd numeric, duration_ms integer, error_message text, created_at timestamptz default now());
  create table public.ingest_jobs (status text, created_at timestamptz, completed_at timestamptz);
  create table public.audit_log (created_at timestamptz default now());
  create table public.dead_letter_queue (id integer);`;

/** Names of the definitions that wait for those tables. */
async function applicationMetrics(hub: TestDatabase): Promise<string[]> {
  const rows = await hub.sql`update metric_definitions set enabled = true
    where needs like 'public.%' returning name`;
  return rows.map(({ name }) => name).sort();
}

Deno.test("the application metrics are off, and do not apply to projects without their tables", async () => {
  await using hub = await testDatabase("hub");
  await watchOnlyOthers(hub);
  await using smoothed = await testDatabase("project");
  const [{ on } = { on: -1 }] = await hub.sql<{ on: number }[]>`
    select count(*)::integer as on from metric_definitions where enabled and needs like 'public.%'`;
  assert.equal(on, 0);
  const names = await applicationMetrics(hub);
  const report = await collect(hub, { smoothed: smoothed.url });
  const skipped = outcomes(report).filter(({ status }) => status === "not_applicable").map(({ metric }) =>
    metric
  );
  assert.deepEqual(skipped.sort(), [...names, "pg_net_queue_depth"].sort());
  assert.deepEqual(
    outcomes(report).find(({ metric }) => metric === "queue_depth")?.error,
    "the project has no public.ingest_jobs",
  );
});

Deno.test("the application metrics answer empty tables without an alarm", async () => {
  await using hub = await hubWith([]);
  await using smoothed = await testDatabase("project");
  await smoothed.sql.unsafe(APPLICATION_TABLES);
  const names = await applicationMetrics(hub);
  const report = await collect(hub, { smoothed: smoothed.url });
  assert.deepEqual(
    outcomes(report).map(({ metric, status }) => `${metric} ${status}`).sort(),
    names.map((name) => `${name} ok`),
  );
  assert.deepEqual([report.numbers.warning, report.numbers.critical, report.incidents_opened], [0, 0, 0]);
});

Deno.test("the application metrics say what the monitoring guide means by them", async () => {
  await using hub = await hubWith([]);
  await using smoothed = await testDatabase("project");
  await smoothed.sql.unsafe(APPLICATION_TABLES);
  await smoothed.sql.unsafe(`
    insert into ai_action_ledger (action, model, actor_type, status, total_tokens, cost_usd, duration_ms, error_message)
    select case when n <= 40 then 'chat' else 'embed' end, case when n <= 80 then 'small' else 'large' end,
           case when n <= 50 then 'user' end, case when n <= 90 then 'success' else 'error' end, 20000, 0.5, n * 10,
           case when n > 95 then 'no quota for "team ' || n || '" in code500, request 5d0e0f6e-' || n else
             case when n > 90 then 'model overloaded' end end
    from generate_series(1, 100) as n;
    insert into ai_action_ledger (action, status, total_tokens, created_at) values ('chat', 'error', 9, now() - interval '2 hours');
    insert into ingest_jobs select 'done', now() - make_interval(secs => n), now() from generate_series(1, 100) as n;
    insert into ingest_jobs select 'pending', now(), null from generate_series(1, 150);
    insert into audit_log select now() from generate_series(1, 7);
    insert into dead_letter_queue values (1), (2)`);
  await applicationMetrics(hub);
  const report = await collect(hub, { smoothed: smoothed.url });
  const told = Object.fromEntries(
    outcomes(report).map(({ metric, rows }) => [
      metric,
      rows.map(({ labels, value, severity }) =>
        Object.keys(labels).length === 0 ? [value, severity] : [...Object.values(labels), value]
      ),
    ]),
  );
  assert.deepEqual(told, {
    ai_error_rate: [[10, "critical"]],
    ai_tokens_hourly: [[2_000_000, "warning"]],
    ai_cost_hourly: [[50, "ok"]],
    queue_depth: [[150, "warning"]],
    queue_processing_time_p95: [[95.05, "critical"]],
    audit_activity_hourly: [[7, "unknown"]],
    dead_letter_queue_size: [[2, "warning"]],
    ai_tokens_by_model_hourly: [["small", 1_600_000], ["large", 400_000]],
    ai_cost_by_actor_hourly: [["user", 25], ["none", 25]],
    ai_success_rate_by_action: [["embed", 83.33], ["chat", 100]],
    ai_actions_by_status_hourly: [["embed", "success", 50], ["chat", "success", 40], ["embed", "error", 10]],
    ai_errors_by_message_hourly: [["embed", "model overloaded", 5], [
      "embed",
      "no quota for <value> in code<n>, request <n>",
      5,
    ]],
    ai_response_time_by_bucket: [
      ["100", 10],
      ["250", 15],
      ["500", 25],
      ["1000", 50],
      ["2500", 0],
      ["5000", 0],
      ["10000", 0],
      ["30000", 0],
      ["2147483647", 0],
    ],
    queue_jobs_by_status: [["pending", 150], ["done", 100]],
    queue_processing_time: [["p50", 50.5], ["p95", 95.05], ["p99", 99.01]],
  });
});

Deno.test("a mistake in metric_definitions is refused with a sentence that says what is right", async () => {
  await using hub = await hubWith([QUEUE]);
  const mistakes: [change: string, sentence: RegExp][] = [
    ["name = 'Queue Depth'", /"name is lower case letters, digits or _"/],
    ["project_name = ' '", /"project_name is not empty \(use NULL for every project\)"/],
    ["query = 'delete from queue'", /"query is a select"/],
    ["query = ' '", /null value in column "query"/],
    ["query = 'select ' || repeat('1', 10000)", /"query has at most 10000 characters"/],
    ["needs = 'ingest_jobs'", /"needs is schema.table, or several with commas between"/],
    ["direction = 'upwards'", /"direction is up, down or both"/],
    ["direction = 'both'", /"direction both needs judged_by own weeks"/],
    ["judged_by = 'weeks'", /"judged_by is value or own weeks"/],
    ["warning = 'NaN'", /"warning is a finite number"/],
    ["critical = 'Infinity'", /"critical is a finite number"/],
    ["warning = 200", /"critical is not reached before warning"/],
    ["direction = 'down'", /"critical is not reached before warning"/],
    ["judged_by = 'own weeks', warning = 0", /"with own weeks, warning and critical are more than 0"/],
    ["hysteresis = -1", /"hysteresis is 0 or more"/],
    ["least_difference = 5", /"least_difference needs judged_by own weeks"/],
    ["for_minutes = 2000", /"for_minutes is 0 to 1440"/],
    ["no_data = 'alert'", /"no_data is unknown, ok, warning or critical"/],
    ["interval_minutes = 1", /"interval_minutes is 5 to 1440"/],
    ["timeout_seconds = 60", /"timeout_seconds is 1 to 30"/],
    ["unit = repeat('x', 31)", /"unit has at most 30 characters"/],
  ];
  for (const [change, sentence] of mistakes) {
    const told = await hub.sql.unsafe(`update metric_definitions set ${change} where name = 'queue'`)
      .then(() => "accepted", (error: Error) => error.message);
    assert.match(told, sentence, change);
  }
  const twice = await hub.sql`insert into metric_definitions ${hub.sql({ name: "queue", ...QUEUE })}`
    .then(() => "accepted", (error: Error) => error.message);
  assert.match(twice, /metric_definitions_identity/);
  await hub.sql`update metric_definitions set needs = ' public.a , b.c ', unit = '' where name = 'queue'`;
  const [kept] = await hub.sql`select needs, unit from metric_definitions where name = 'queue'`;
  assert.deepEqual({ ...kept }, { needs: "public.a , b.c", unit: null });
});

Deno.test("purge_metrics() drops partitions older than the setting and keeps a week ahead", async () => {
  await using hub = await testDatabase("hub");
  await hub.sql`update app_settings set value = '10' where key = 'metrics_days'`;
  for (const days of [11, 10]) {
    await hub
      .sql`select monitoring.ensure_partition('system_metrics', (now() at time zone 'UTC')::date - ${days}::integer)`;
  }
  const [result] = await hub.sql`select monitoring.purge_metrics() as done`;
  assert.equal(result?.done.partitions, 1);
  const [count] = await hub.sql`
    select count(*)::integer as n from pg_inherits where inhparent = 'public.system_metrics'::regclass`;
  assert.equal(count?.n, 9);
  const mistake = await hub.sql`update app_settings set value = '0' where key = 'metrics_days'`
    .then(() => "accepted", (error: Error) => error.message);
  assert.match(mistake, /"metrics_days is a whole number of days, 1 to 3650"/);
});

Deno.test("purge_metrics() waits for nobody for long, and purge() calls it", async () => {
  await using hub = await testDatabase("hub");
  await hub.sql`select monitoring.ensure_partition('system_metrics', (now() at time zone 'UTC')::date - 500)`;
  const reader = await hub.sql.reserve();
  try {
    await reader.unsafe("begin; select count(*) from public.system_metrics").simple();
    const [busy] = await hub.sql`select monitoring.purge() -> 'metrics' as done`;
    assert.match(busy?.done.postponed, /system_metrics is in use/);
  } finally {
    await reader.unsafe("rollback");
    reader.release();
  }
  const [free] = await hub.sql`select monitoring.purge() -> 'metrics' as done`;
  assert.deepEqual(free?.done, { states: 0, collections: 0, partitions: 1 });
});

Deno.test("deleting a definition deletes what is known of it; its numbers stay, its incident ends", async () => {
  await using hub = await hubWith([QUEUE]);
  await using smoothed = await projectWithQueue(12);
  await collect(hub, { smoothed: smoothed.url });
  await hub.sql`delete from metric_definitions where name = 'queue'`;
  await collect(hub, { smoothed: smoothed.url }, { at: NOON + 5 * MINUTE });
  assert.deepEqual([
    ...await hub.sql`select * from metric_state`,
    ...await hub.sql`select * from metric_collections`,
  ], []);
  assert.equal((await hub.sql`select * from system_metrics`).length, 1);
  assert.deepEqual((await incidents(hub)).map(([, , , resolution]) => resolution), ["removed"]);
});

Deno.test("the command line reads the latest numbers with their last day, the gravest first", async () => {
  await using hub = await hubWith([
    QUEUE,
    { ...QUEUE, name: "calm", query: "select 'a' as kind, 1 union all select 'b', 2" },
    { name: "none", query: "select 1 as kind, 1 where false" },
    { name: "broken", query: "select count(*) from nowhere" },
    { name: "elsewhere", query: "select 1", needs: "public.nowhere" },
  ]);
  await using smoothed = await projectWithQueue(12);
  const now = Date.now();
  for (const minutes of [-180, -90, 0]) {
    await collect(hub, { smoothed: smoothed.url }, { at: now + minutes * MINUTE });
  }
  await using api = new MonitoringAPI({
    ...{ url: "http://127.0.0.1:9", secretKey: "sb_secret_x", hubDatabaseUrl: hub.url, caCert: null },
    origin: { kind: "given", text: "test" },
  });
  const metrics = await api.listMetrics();
  assert.deepEqual(
    metrics.map((
      { metric_name, labels, value, severity, status },
    ) => [metric_name, labels["kind"], value, severity, status]),
    [
      ["queue", undefined, 12, "warning", "ok"],
      ["broken", undefined, null, "unknown", "failed"],
      ["calm", "a", 1, "ok", "ok"],
      ["calm", "b", 2, "ok", "ok"],
      ["none", undefined, null, "ok", "ok"],
    ],
  );
  assert.equal(metrics[0]?.history.length, 24);
  assert.deepEqual(metrics[0]?.history.filter((value) => value !== null), [12, 12, 12]);
  assert.equal(metrics[0]?.history.at(-1), 12);
  assert.deepEqual(metrics[1]?.history.filter((value) => value !== null), []);
  await hub
    .sql`update metric_state set recorded_at = now() - interval '31 minutes' where series = '{kind="a"}'`;
  const [old] = await api.listMetrics({ name: "calm" });
  assert.deepEqual([old?.severity, old?.value, old?.summary], [
    "unknown",
    1,
    "not read for three intervals and more; then: 1 job",
  ]);
  const shown = await hub.sql`
    select labels ->> 'kind' as kind, severity from grafana.latest_metrics where metric_name = 'calm' order by 1`;
  assert.deepEqual(shown.map((row) => Object.values(row)), [["a", "unknown"], ["b", "ok"]]);
  const all = await api.listMetrics({ which: "all", name: "elsewhere" });
  assert.deepEqual(all.map(({ status, error }) => [status, error]), [[
    "not_applicable",
    "the project has no public.nowhere",
  ]]);
  await assert.rejects(() => api.listMetrics({ name: "queu" }), /No metric is called "queu"/);
  await assert.rejects(() => api.listMetrics({ project: "nobody" }), /knows no project "nobody"/);
  await assert.rejects(() => api.testMetric("nothing"), /No metric is called "nothing"/);
});

Deno.test("the SQL of docs/METRICS.md does what it says", async () => {
  await using hub = await testDatabase("hub");
  const page = await Deno.readTextFile(new URL("../../docs/METRICS.md", import.meta.url));
  const blocks = readBlocks(page).filter(({ language }) => language === "sql");
  assert.equal(blocks.length, 2);
  for (const { text } of blocks) await hub.sql.unsafe(text).simple();
  const rows = await hub.sql`
    select name, project_name, enabled, warning from metric_definitions
    where project_name is not null or name in ('queue_depth', 'dead_letter_queue_size') order by name`;
  assert.deepEqual(rows.map((row) => Object.values(row)), [
    ["connections_used", "scraping", true, 85],
    ["dead_letter_queue_size", null, true, 1],
    ["queue_depth", null, true, 100],
    ["unpaid_orders", "smoothed", true, 50],
  ]);
});
