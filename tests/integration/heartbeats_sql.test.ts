/** Heartbeats in the database: what callers write, what is kept of each word, and who may. */
import assert from "node:assert/strict";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { heartbeatUrlHash, pingsOf } from "../support/heartbeats.ts";

async function refusal(query: Promise<unknown>): Promise<string> {
  return await query.then(() => "it was accepted", (error: Error) => error.message);
}

async function heartbeat(hub: TestDatabase, name: string) {
  const [row] = await hub.sql`
    select job_name, status, metadata, last_run_at = now() as now, last_ping_id, last_alert_at, updated_at >= created_at as touched
    from job_heartbeats where job_name = ${name}`;
  return row;
}

async function receive(hub: TestDatabase, token: string, kind: string, over: {
  runId?: string;
  exitCode?: number;
  body?: string;
} = {}) {
  const { runId = null, exitCode = null, body = null } = over;
  const [row] = await hub.sql`
    select monitoring.receive_ping(${await heartbeatUrlHash(
    token,
  )}, ${kind}, ${runId}, ${exitCode}, ${body}) as answer`;
  return row?.answer;
}

Deno.test("update_job_heartbeat() upserts as the seed's does: time, status and metadata, each call anew", async () => {
  await using hub = await testDatabase("hub");
  await hub.sql`select update_job_heartbeat('nightly_backup')`;
  const first = await heartbeat(hub, "nightly_backup");
  assert.deepEqual([first?.status, first?.metadata, first?.last_alert_at], ["healthy", {}, null]);
  await hub
    .sql`update job_heartbeats set last_run_at = now() - interval '2 days', last_alert_at = '2026-01-01'`;
  await hub
    .sql`select update_job_heartbeat(p_job_name := 'nightly_backup', p_status := 'failed', p_metadata := '{"error":"disk full"}')`;
  const [second] = await hub.sql`
    select status, metadata, last_run_at > now() - interval '1 minute' as fresh, last_alert_at is not null as kept
    from job_heartbeats`;
  assert.deepEqual({ ...second }, {
    status: "failed",
    metadata: { error: "disk full" },
    fresh: true,
    kept: true,
  });
  const kinds = (await pingsOf(hub, "nightly_backup")).map(({ kind, body }) => [kind, body]);
  assert.deepEqual(kinds, [["success", null], ["success", null], ["fail", "disk full"]]);
});

Deno.test("the seed's table, function and indexes have the seed's names, columns and parameters", async () => {
  await using hub = await testDatabase("hub");
  const columns = await hub.sql`
    select column_name, data_type, is_nullable, column_default from information_schema.columns
    where table_schema = 'public' and table_name = 'job_heartbeats' order by ordinal_position limit 7`;
  assert.deepEqual(columns.map((row) => Object.values(row)), [
    ["job_name", "text", "NO", null],
    ["last_run_at", "timestamp with time zone", "NO", "now()"],
    ["status", "text", "YES", "'healthy'::text"],
    ["metadata", "jsonb", "YES", "'{}'::jsonb"],
    ["created_at", "timestamp with time zone", "NO", "now()"],
    ["updated_at", "timestamp with time zone", "NO", "now()"],
    ["last_alert_at", "timestamp with time zone", "YES", null],
  ]);
  const indexes = await hub
    .sql`select indexname from pg_indexes where tablename = 'job_heartbeats' order by 1`;
  const names = indexes.map(({ indexname }) => indexname);
  for (
    const name of [
      "job_heartbeats_last_alert_at_idx",
      "job_heartbeats_last_run_at_idx",
      "job_heartbeats_pkey",
    ]
  ) {
    assert.ok(names.includes(name), name);
  }
  const [signature] = await hub.sql`
    select pg_get_function_arguments(oid) as arguments, pg_get_function_result(oid) as result, prosecdef as definer
    from pg_proc where proname = 'update_job_heartbeat'`;
  assert.deepEqual({ ...signature }, {
    arguments: "p_job_name text, p_status text DEFAULT 'healthy'::text, p_metadata jsonb DEFAULT '{}'::jsonb",
    result: "void",
    definer: true,
  });
});

Deno.test("service_role may say that a job ran and edit the table; anon and authenticated may nothing", async () => {
  await using hub = await testDatabase("hub");
  const as = (role: string, query: string) =>
    refusal(hub.admin.begin((sql) => sql.unsafe(`set local role ${role}; ${query}`)));
  for (
    const query of [
      "select public.update_job_heartbeat('a', 'healthy', '{}')",
      "insert into public.job_heartbeats (job_name) values ('b')",
      "update public.job_heartbeats set last_run_at = now(), last_alert_at = now()",
      "select * from public.job_heartbeats",
      "select * from public.heartbeat_overview",
      "select * from public.healthcheck_summary",
      "delete from public.job_heartbeats where job_name = 'b'",
    ]
  ) {
    assert.equal(await as("service_role", query), "it was accepted", query);
    for (const role of ["anon", "authenticated"]) {
      assert.match(await as(role, query), /permission denied/, query);
    }
  }
  const kinds = (await pingsOf(hub, "a")).map(({ kind }) => kind);
  assert.deepEqual(kinds, ["success", "success"], "said once by the function, once by hand");
});

Deno.test("a heartbeat that was set up has never been pinged until somebody does", async () => {
  await using hub = await testDatabase("hub");
  const [made] = await hub
    .sql`select monitoring.create_heartbeat('nightly', p_schedule := '0 2 * * *', p_time_zone := 'Europe/Berlin') as token`;
  assert.match(made?.token, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.deepEqual(await pingsOf(hub, "nightly"), []);
  const [row] = await hub.sql`select last_ping_id, status from job_heartbeats`;
  assert.deepEqual({ ...row }, { last_ping_id: null, status: "never pinged" });
  const [kept] = await hub
    .sql`select count(*)::int as n, bool_and(octet_length(token_hash) = 32) as hashed from monitoring.heartbeat_tokens`;
  assert.deepEqual({ ...kept }, { n: 1, hashed: true });
  assert.match(
    await refusal(hub.sql`select monitoring.create_heartbeat('nightly')`),
    /there is one of that name/,
  );
  assert.match(
    await refusal(hub.sql`select monitoring.create_heartbeat('x', p_time_zone := 'Mars/Olympus')`),
    /time_zone is a time zone such as Europe\/Berlin/,
  );
  assert.match(
    await refusal(hub.sql`select monitoring.create_heartbeat('x', p_schedule := 'hourly')`),
    /schedule has five fields/,
  );
});

Deno.test("a ping by token moves last_run_at and status; the end of a run is tied to its start, by its id where there is one", async () => {
  await using hub = await testDatabase("hub");
  const [made] = await hub.sql`select monitoring.create_heartbeat('import') as token`;
  const token = made?.token;
  const [a, b] = [crypto.randomUUID(), crypto.randomUUID()];
  await receive(hub, token, "start", { runId: a });
  await receive(hub, token, "start", { runId: b });
  assert.equal((await heartbeat(hub, "import"))?.status, "running");
  assert.deepEqual(await receive(hub, token, "log", { body: "half way" }), { outcome: "kept" });
  await receive(hub, token, "fail", { runId: a, exitCode: 3, body: "no space left" });
  await receive(hub, token, "success");
  const row = await heartbeat(hub, "import");
  assert.deepEqual([row?.status, row?.metadata], ["healthy", {}]);
  const pings = await pingsOf(hub, "import");
  assert.deepEqual(
    pings.map((
      { kind, started, ended_by, exit_code, body },
    ) => [kind, started, ended_by !== null, exit_code, body]),
    [
      ["start", false, true, null, null],
      ["start", false, true, null, null],
      ["log", false, false, null, "half way"],
      ["fail", true, false, 3, "no space left"],
      ["success", true, false, null, null],
    ],
  );
});

Deno.test("an end without an id ends the one run that goes on, and none of several; an unknown id ends none", async () => {
  await using hub = await testDatabase("hub");
  const [made] = await hub.sql`select monitoring.create_heartbeat('import') as token`;
  const token = made?.token;
  const open = async () =>
    (await pingsOf(hub, "import")).filter(({ kind, ended_by }) => kind === "start" && ended_by === null)
      .length;
  await receive(hub, token, "start", { runId: crypto.randomUUID() });
  await receive(hub, token, "success", { runId: crypto.randomUUID() });
  assert.equal(await open(), 1);
  await receive(hub, token, "start", { runId: crypto.randomUUID() });
  await receive(hub, token, "success");
  assert.equal(await open(), 2);
  await receive(hub, token, "start");
  await receive(hub, token, "success");
  assert.equal(await open(), 2);
});

Deno.test("a run that never ended is lost when the next begins: at once without ids, after a day with them", async () => {
  await using hub = await testDatabase("hub");
  const [made] = await hub.sql`select monitoring.create_heartbeat('import') as token`;
  await receive(hub, made?.token, "start");
  await receive(hub, made?.token, "start");
  await receive(hub, made?.token, "start", { runId: crypto.randomUUID() });
  await hub
    .sql`update monitoring.heartbeat_pings set received_at = now() - interval '25 hours' where run_id is not null`;
  await receive(hub, made?.token, "start", { runId: crypto.randomUUID() });
  assert.deepEqual((await pingsOf(hub, "import")).map(({ kind, ended_by }) => [kind, ended_by !== null]), [
    ["start", true],
    ["lost", false],
    ["start", false],
    ["start", true],
    ["lost", false],
    ["start", false],
  ]);
});

Deno.test("an unknown, removed or expired token pings nothing; a rotated one goes on as long as was said", async () => {
  await using hub = await testDatabase("hub");
  const unknown = { outcome: "unknown" };
  assert.deepEqual(await receive(hub, crypto.randomUUID(), "success"), unknown);
  const [made] = await hub.sql`select monitoring.create_heartbeat('import') as token`;
  const [rotated] = await hub.sql`select monitoring.rotate_heartbeat_token('import') as token`;
  assert.notEqual(rotated?.token, made?.token);
  for (const token of [made?.token, rotated?.token]) {
    assert.deepEqual(await receive(hub, token, "success"), { outcome: "kept" });
  }
  const [last] = await hub.sql`select monitoring.rotate_heartbeat_token('import', '0') as token`;
  assert.deepEqual(await receive(hub, made?.token, "success"), unknown);
  assert.deepEqual(await receive(hub, rotated?.token, "success"), unknown);
  assert.deepEqual(await receive(hub, last?.token, "success"), { outcome: "kept" });
  const [removed] = await hub.sql`select monitoring.remove_heartbeat('import') as gone`;
  assert.equal(removed?.gone, true);
  assert.deepEqual(await receive(hub, last?.token, "success"), unknown);
  assert.match(
    await refusal(hub.sql`select monitoring.rotate_heartbeat_token('import')`),
    /there is no such heartbeat/,
  );
});

Deno.test("a token has ten pings at once and then five a minute, and is told how long to wait", async () => {
  await using hub = await testDatabase("hub");
  const [made] = await hub.sql`select monitoring.create_heartbeat('import') as token`;
  const answers = await Promise.all(Array.from({ length: 12 }, () => receive(hub, made?.token, "success")));
  const limited = answers.filter(({ outcome }) => outcome === "limited");
  assert.equal(limited.length, 2);
  assert.ok(limited[0].retry_after >= 1 && limited[0].retry_after <= 12, JSON.stringify(limited));
  assert.equal((await pingsOf(hub, "import")).length, 10);
  await hub.sql`update monitoring.heartbeat_tokens set counted_at = counted_at - interval '12 seconds'`;
  assert.deepEqual(await receive(hub, made?.token, "success"), { outcome: "kept" });
});

Deno.test("pings beyond the newest hundred are cleared after three days, but no run that is still open", async () => {
  await using hub = await testDatabase("hub");
  await hub.sql`select update_job_heartbeat('busy')`;
  await hub.sql`
    insert into monitoring.heartbeat_pings (job_name, kind, received_at)
    select 'busy', case n when 1 then 'start' else 'success' end, now() - interval '4 days' from generate_series(1, 150) as n`;
  const [pruned] = await hub.sql`select monitoring.prune_heartbeat_pings() as n`;
  assert.equal(pruned?.n, 49, "of 151 the newest hundred, the one of today and the open start stay");
  const [left] = await hub.sql`select count(*)::int as n from monitoring.heartbeat_pings`;
  assert.equal(left?.n, 102);
});
