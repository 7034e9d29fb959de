import assert from "node:assert/strict";
import { testDatabase } from "../support/postgres.ts";

const TABLES = [
  "app_settings",
  "monitored_projects",
  "job_inventory",
  "inventory_changes",
  "project_state",
  "job_state",
  "job_health_log",
  "job_health_daily",
  "check_runs",
  "incidents",
  "alert_config",
  "alert_deliveries",
  "delivery_incidents",
  "silences",
  "channel_state",
  "edge_functions",
  "function_executions",
  "function_minutes",
  "function_log_state",
  "function_drain_batches",
  "health_checks",
  "report_tokens",
  "metric_definitions",
  "metric_collections",
  "metric_state",
  "system_metrics",
  "job_heartbeats",
  "badges",
  "report_subscriptions",
  "report_sendings",
];

const VIEWS = ["incident_overview", "false_alarms", "heartbeat_overview", "healthcheck_summary"];

/** The message of the error that a query fails with. */
async function refusal(query: Promise<unknown>): Promise<string> {
  return await query.then(() => "it was accepted", (error: Error) => error.message);
}

Deno.test("anon and authenticated can neither read nor write any table, nor call any function", async () => {
  await using db = await testDatabase("hub");
  for (const role of ["anon", "authenticated"]) {
    for (const table of TABLES) {
      for (const query of [`select * from public.${table}`, `delete from public.${table}`]) {
        const message = await refusal(
          db.admin.begin((sql) => sql.unsafe(`set local role ${role}; ${query}`)),
        );
        assert.match(message, /permission denied/, `${role}: ${query}`);
      }
    }
    for (const view of VIEWS) {
      const query = `set local role ${role}; select * from public.${view}`;
      assert.match(await refusal(db.admin.begin((sql) => sql.unsafe(query))), /permission denied/, query);
    }
    const heartbeat = `set local role ${role}; select public.update_job_heartbeat('a')`;
    assert.match(
      await refusal(db.admin.begin((sql) => sql.unsafe(heartbeat))),
      /permission denied for function/,
    );
    const call = `set local role ${role}; select monitoring.purge()`;
    assert.match(
      await refusal(db.admin.begin((sql) => sql.unsafe(call))),
      /permission denied for schema monitoring/,
    );
  }
});

Deno.test("every table of ours has row level security", async () => {
  await using db = await testDatabase("hub");
  const open = await db.admin`
    select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('public', 'monitoring') and c.relkind in ('r', 'p') and not c.relrowsecurity`;
  assert.deepEqual(open.map(({ name }) => name), []);
});

Deno.test("every column that a person edits has a comment", async () => {
  await using db = await testDatabase("hub");
  const bare = await db.sql`
    select c.relname || '.' || a.attname as name from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relname in ('job_inventory', 'alert_config', 'monitored_projects', 'app_settings', 'silences', 'job_heartbeats', 'metric_definitions', 'report_subscriptions') and c.relkind = 'r'
      and a.attname not in ('id', 'created_at', 'updated_at') and col_description(c.oid, a.attnum) is null`;
  assert.deepEqual(bare.map(({ name }) => name), []);
});

Deno.test("a mistake in the table editor is refused with a sentence that says what is right", async () => {
  await using db = await testDatabase("hub");
  await db.sql`insert into job_inventory (project_name, job_name) values ('smoothed', 'sync_leads')`;
  const mistakes: [query: string, expected: RegExp][] = [
    [`update job_inventory set criticality = 'urgent'`, /criticality is critical, important or low/],
    [`update job_inventory set alert_channel = ' '`, /alert_channel is not empty/],
    [`update job_inventory set grace_minutes = -5`, /grace_minutes is 0 to 44640/],
    [`update job_inventory set runbook_url = 'wiki'`, /runbook_url is an http\(s\) URL/],
    [`insert into alert_config (channel) values ('discord')`, /discord needs webhook_url/],
    [
      `insert into alert_config (channel, bot_token) values ('telegram', 'x')`,
      /telegram needs bot_token and chat_id/,
    ],
    [
      `insert into alert_config (channel) values ('pigeon')`,
      /channel is one of those that the column's comment names/,
    ],
    [`insert into monitored_projects (name) values ('My Project')`, /name is lower case letters/],
    [
      `insert into monitored_projects (name, database_url) values ('x', 'postgresql://u:secret@h/db')`,
      /database_url is vault:NAME or env:NAME/,
    ],
    [`update app_settings set value = 'maybe' where key = 'log_successes'`, /log_successes is true or false/],
  ];
  for (const [query, expected] of mistakes) {
    assert.match(await refusal(db.sql.unsafe(query)), expected, query);
  }
});

Deno.test("one name may belong to jobs of two roles and is unique within each, also without a role", async () => {
  await using db = await testDatabase("hub");
  const insert = (user: string | null) =>
    db.sql`insert into job_inventory (project_name, job_name, job_user) values ('smoothed', 'purge', ${user})`;
  await insert("postgres");
  await insert("service_role");
  await insert(null);
  assert.match(await refusal(insert("postgres")), /job_inventory_identity/);
  assert.match(await refusal(insert(null)), /job_inventory_identity/);
});

Deno.test("updated_at follows what people and projects change, not that a job was seen again", async () => {
  await using db = await testDatabase("hub");
  await db
    .sql`insert into job_inventory (project_name, job_name, updated_at) values ('smoothed', 'a', '2026-01-01')`;
  await db.sql`update job_inventory set last_seen_at = now()`;
  const [seen] = await db.sql`select updated_at < '2026-01-02' as old from job_inventory`;
  assert.equal(seen?.old, true);
  await db.sql`update job_inventory set owner = 'ada'`;
  const [edited] = await db.sql`select updated_at < '2026-01-02' as old from job_inventory`;
  assert.equal(edited?.old, false);
});

Deno.test("invoke_edge_function() raises while URL or key are missing, and queues the call with the named key", async () => {
  await using db = await testDatabase("hub");
  const call = () =>
    db.sql`select monitoring.invoke_edge_function('check-job-health', '{"source":"cron"}', 4000) as id`;
  assert.match(await refusal(call()), /URL is unknown/);
  await db.sql`insert into app_settings (key, value) values ('edge_base_url', 'http://127.0.0.1:9/')`;
  assert.match(await refusal(call()), /no secret "monitor_secret_key"/);
  await db.sql`select vault.create_secret('sb_secret_test', 'monitor_secret_key')`;
  const [called] = await call();
  const [queued] = await db.admin`
    select url, headers ->> 'apikey' as apikey, convert_from(body, 'UTF8')::jsonb as body, timeout_milliseconds
    from net.http_request_queue where id = ${called?.id}`;
  assert.deepEqual({ ...queued }, {
    url: "http://127.0.0.1:9/functions/v1/check-job-health",
    apikey: "sb_secret_test",
    body: { source: "cron" },
    timeout_milliseconds: 4000,
  });
  const kept = await db
    .sql`select function_name from monitoring.edge_function_calls where request_id = ${called?.id}`;
  assert.deepEqual(kept.map((row) => row.function_name), ["check-job-health"]);
  assert.match(await refusal(db.sql`select monitoring.invoke_edge_function('../x')`), /lower case letters/);
});

Deno.test("the Vault's project_url comes before the setting", async () => {
  await using db = await testDatabase("hub");
  await db.sql`insert into app_settings (key, value) values ('edge_base_url', 'http://127.0.0.1:9')`;
  await db.sql`select vault.create_secret('sb_secret_test', 'monitor_secret_key'),
                      vault.create_secret('http://127.0.0.1:8/', 'project_url')`;
  await db.sql`select monitoring.invoke_edge_function('send-alert')`;
  const [queued] = await db.admin`select url from net.http_request_queue`;
  assert.equal(queued?.url, "http://127.0.0.1:8/functions/v1/send-alert");
});

Deno.test("schedules are off until enabled, refuse without a key, and are off again when disabled", async () => {
  await using db = await testDatabase("hub");
  const jobs = async () =>
    (await db.sql`select jobname, active from cron.job order by jobname`).map((row) => ({ ...row }));
  assert.deepEqual(await jobs(), []);
  assert.match(await refusal(db.sql`select monitoring.enable_schedules()`), /no secret "monitor_secret_key"/);
  await db.sql`select vault.create_secret('sb_secret_test', 'monitor_secret_key'),
                      vault.create_secret('http://127.0.0.1:8', 'project_url')`;
  await db.sql`select monitoring.enable_schedules()`;
  await db.sql`select cron.alter_job(jobid, active := false) from cron.job where jobname = 'send-alert'`;
  await db.sql`select monitoring.enable_schedules()`;
  const all = await db
    .sql`select job_name as jobname, true as active from monitoring.schedules order by job_name`;
  assert.ok(all.length >= 3);
  assert.deepEqual(await jobs(), all.map((row) => ({ ...row })));
  await db.sql`select monitoring.disable_schedules()`;
  assert.deepEqual(await jobs(), []);
});
