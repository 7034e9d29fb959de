/** What projects report of their functions: executions by the wrapper, batches of a log drain; and who may. */
import assert from "node:assert/strict";
import { receiveDrain } from "../../supabase/functions/receive-log-drain/run.ts";
import { receiveExecutions } from "../../supabase/functions/record-execution/run.ts";
import { runEdgeCheck } from "../../supabase/functions/check-edge-functions/run.ts";
import { serveReceiver } from "../../supabase/functions/_shared/http/receive.ts";
import { triggerInput } from "../../supabase/functions/_shared/http/trigger.ts";
import { withExecutionLog } from "../../supabase/functions/with_execution_log.ts";
import { drainedEvents, gzip } from "../support/drain.ts";
import { readBlocks } from "../support/markdown.ts";
import { configFor, recordingLog, watchOnlyOthers } from "../support/functions.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { waitFor } from "../support/wait_for.ts";

const MINUTE = 60_000;

async function tokenOf(hub: TestDatabase, purpose: string, project = "smoothed"): Promise<string> {
  const [row] = await hub.sql<{ token: string }[]>`
    select monitoring.create_report_token(${project}, ${purpose}) as token`;
  return row?.token ?? "";
}

/** The two receivers as they are served. */
function receivers(hub: TestDatabase) {
  const withHub = <T>(use: (sql: TestDatabase["sql"]) => Promise<T>) => use(hub.sql);
  const executions = serveReceiver({
    name: "record-execution",
    run: ({ request, token }) => receiveExecutions(request, token, withHub),
  });
  const drain = serveReceiver({
    name: "receive-log-drain",
    run: ({ request, token }) =>
      receiveDrain(request, token, { hubProjectName: "thordata", now: Date.now(), withHub }),
  });
  const post = async (served: typeof drain, token: string | null, body: BodyInit | null, method = "POST") => {
    const headers = new Headers(token === null ? {} : { "x-report-token": token });
    const response = await served.fetch(new Request("http://x/functions/v1/f", { method, headers, body }));
    return { status: response.status, json: await response.json() };
  };
  return {
    executions: (token: string | null, body: unknown) => post(executions, token, JSON.stringify(body)),
    drain: (token: string | null, body: BodyInit) => post(drain, token, body),
    get: (token: string) => post(drain, token, null, "GET"),
    served: executions,
  };
}

function execution(over: Record<string, unknown> = {}) {
  return {
    id: crypto.randomUUID(),
    function: "sync-leads",
    status: "success",
    started_at: new Date(Date.now() - 5_000).toISOString(),
    ended_at: new Date().toISOString(),
    duration_ms: 5_000.5,
    http_status: 200,
    error: null,
    ...over,
  };
}

async function minutesOf(hub: TestDatabase) {
  const rows = await hub.sql`
    select project_name, function_name, source, sum(invocations)::int as invocations, sum(errors)::int as errors,
           sum(client_errors)::int as client_errors
    from function_minutes group by 1, 2, 3 order by 1, 2, 3`;
  return rows.map((row) => Object.values(row));
}

Deno.test("a report without a token, with a wrong, a revoked one, or one for something else gets 401 and changes nothing", async () => {
  await using hub = await testDatabase("hub");
  const { executions, drain, get } = receivers(hub);
  const [good, other, old] = [
    await tokenOf(hub, "executions"),
    await tokenOf(hub, "log_drain"),
    await tokenOf(hub, "executions", "scraping"),
  ];
  await hub.sql`select monitoring.revoke_report_tokens('scraping', 'executions')`;
  for (
    const token of [
      null,
      "",
      "nonsense",
      `${good}0`,
      good.replace(/.$/, "x"),
      other,
      old,
      "sb_secret_default",
    ]
  ) {
    const { status, json } = await executions(token, { executions: [execution()] });
    assert.deepEqual([status, json.error.code], [401, "unauthorized"], String(token));
  }
  assert.equal((await drain(good, "[]")).status, 401);
  assert.equal((await get(good)).status, 405);
  const [count] = await hub.sql`select count(*)::int as n from function_executions`;
  assert.equal(count?.n, 0);
  assert.equal((await executions(good, { executions: [execution()] })).status, 200);
  const [stored] = await hub.sql`select string_agg(token_hash, ' ') as hashes from report_tokens`;
  assert.ok(!stored?.hashes.includes(good.slice(4)), "only a hash is kept");
});

Deno.test("tokens overlap while one replaces another", async () => {
  await using hub = await testDatabase("hub");
  const { executions } = receivers(hub);
  const first = await tokenOf(hub, "executions");
  const [row] = await hub.sql<{ at: string }[]>`select clock_timestamp()::text as at`;
  const second = await tokenOf(hub, "executions");
  for (const token of [first, second]) {
    assert.equal((await executions(token, { executions: [execution()] })).status, 200);
  }
  await hub.sql`select monitoring.revoke_report_tokens('smoothed', 'executions', ${
    row?.at ?? ""
  }::timestamptz)`;
  assert.equal((await executions(first, { executions: [execution()] })).status, 401);
  assert.equal((await executions(second, { executions: [execution()] })).status, 200);
});

Deno.test("executions are rows, each once; the token says whose they are; secrets are blanked", async () => {
  await using hub = await testDatabase("hub");
  const { executions } = receivers(hub);
  const token = await tokenOf(hub, "executions");
  const error = { name: "TypeError", message: "no db at postgres://u:hunter2@db/x" };
  const report = {
    executions: [
      execution(),
      execution({ http_status: 404 }),
      execution({ status: "failed", http_status: null, error, duration_ms: 12 }),
    ],
  };
  assert.deepEqual((await executions(token, report)).json.recorded, 3);
  assert.deepEqual((await executions(token, report)).json.recorded, 0, "sent again");
  const rows = await hub.sql`
    select project_name, function_name, status, http_status, error_name, error_message, job_inventory_id is not null as known
    from function_executions order by status, http_status`;
  assert.deepEqual(rows.map((row) => Object.values(row)), [
    ["smoothed", "sync-leads", "failed", null, "TypeError", "no db at postgres://u:***@db/x", true],
    ["smoothed", "sync-leads", "success", 200, null, null, true],
    ["smoothed", "sync-leads", "success", 404, null, null, true],
  ]);
  assert.deepEqual(await minutesOf(hub), [["smoothed", "sync-leads", "wrapper", 3, 1, 1]]);
  const changes = await hub.sql`select job_name, change from inventory_changes`;
  assert.deepEqual(changes.map((row) => Object.values(row)), [["sync-leads", "added"]]);
});

Deno.test("a start and its end are one row; another project's token cannot touch it", async () => {
  await using hub = await testDatabase("hub");
  const { executions } = receivers(hub);
  const token = await tokenOf(hub, "executions");
  const running = execution({ status: "running", ended_at: null, duration_ms: null, http_status: null });
  await executions(token, { executions: [running] });
  assert.deepEqual(await minutesOf(hub), [], "not counted before it ends");
  const ended = { ...running, status: "success", ended_at: new Date().toISOString(), http_status: 200 };
  const foreign = await tokenOf(hub, "executions", "scraping");
  assert.equal((await executions(foreign, { executions: [ended] })).json.recorded, 0);
  const both = execution({ status: "running", ended_at: null, duration_ms: null, http_status: null });
  await executions(token, { executions: [ended, both, { ...both, status: "failed", http_status: 500 }] });
  await executions(token, { executions: [running] });
  const rows = await hub.sql`select project_name, status from function_executions order by status`;
  assert.deepEqual(rows.map((row) => Object.values(row)), [["smoothed", "failed"], ["smoothed", "success"]]);
  assert.deepEqual(await minutesOf(hub), [["smoothed", "sync-leads", "wrapper", 2, 1, 0]]);
});

Deno.test("a reporter's clock that is wrong by years moves nothing: what it reports has just happened", async () => {
  await using hub = await testDatabase("hub");
  const { executions } = receivers(hub);
  const token = await tokenOf(hub, "executions");
  for (const instant of ["0001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"]) {
    const { status } = await executions(token, {
      executions: [execution({ started_at: instant, ended_at: instant })],
    });
    assert.equal(status, 200);
  }
  const [seen] = await hub.sql`
    select count(*)::int as n, bool_and(started_at between now() - interval '1 minute' and now()
                                        and ended_at between started_at and now()) as now from function_executions`;
  assert.deepEqual({ ...seen }, { n: 2, now: true });
  const [minutes] = await hub.sql`
    select bool_and(minute > now() - interval '3 minutes') as now from function_minutes where source = 'wrapper'`;
  assert.equal(minutes?.now, true);
});

Deno.test("every fault of a report is named, and nothing of it is kept", async () => {
  await using hub = await testDatabase("hub");
  const { executions } = receivers(hub);
  const token = await tokenOf(hub, "executions");
  const bad = execution({ id: "1", function: "../x", status: "fine", started_at: "now", http_status: 99 });
  const { status, json } = await executions(token, { executions: [execution(), bad], more: 1 });
  assert.equal(status, 400);
  const faults = json.error.faults.join(" ");
  for (const word of ["id", "function", "status", "started_at", "http_status", "more"]) {
    assert.match(faults, new RegExp(word));
  }
  const many = { executions: Array.from({ length: 101 }, () => execution()) };
  assert.equal((await executions(token, many)).status, 400);
  assert.equal((await executions(token, { executions: [], filler: "x".repeat(600_000) })).status, 413);
  const [count] = await hub.sql`select count(*)::int as n from function_executions`;
  assert.equal(count?.n, 0);
});

Deno.test("an execution that was running and is not heard of again has failed, once", async () => {
  await using hub = await testDatabase("hub");
  const { executions } = receivers(hub);
  const token = await tokenOf(hub, "executions");
  const started_at = new Date(Date.now() - 11 * MINUTE).toISOString();
  const lost = execution({
    status: "running",
    started_at,
    ended_at: null,
    duration_ms: null,
    http_status: null,
  });
  await executions(token, { executions: [lost] });
  const settle = async () => {
    const [row] = await hub.sql`select monitoring.settle_lost_executions() as n`;
    return row?.n;
  };
  assert.deepEqual([await settle(), await settle()], [1, 0]);
  assert.deepEqual(await minutesOf(hub), [["smoothed", "sync-leads", "wrapper", 1, 1, 0]]);
  const [row] = await hub.sql`select status, error_message from function_executions`;
  assert.deepEqual({ ...row }, { status: "failed", error_message: "it never answered: cut off or killed" });
});

Deno.test("a wrapped function that throws is recorded, judged and told", async () => {
  await using hub = await testDatabase("hub");
  await watchOnlyOthers(hub);
  await hub.sql`insert into monitored_projects (name, database_url) values ('smoothed', 'env:SMOOTHED')`;
  await hub
    .sql`insert into alert_config (name, channel, webhook_url) values ('all', 'discord', 'https://discord.com/x')`;
  const { served } = receivers(hub);
  const handler = withExecutionLog("sync-leads", () => Promise.reject(new TypeError("leads is undefined")), {
    url: "http://hub/functions/v1/record-execution",
    token: await tokenOf(hub, "executions"),
    gatherMs: 0,
    fetch: (url, init) => served.fetch(new Request(url, init)),
  });
  for (let i = 0; i < 3; i++) await assert.rejects(async () => await handler(new Request("http://x/")));
  await waitFor(
    async () => (await hub.sql`select from function_executions`).length === 3,
    { what: "three executions", withinMs: 60_000 },
  );
  const config = configFor(hub, {}, { SMOOTHED: "postgresql://u:p@127.0.0.1:1/postgres" });
  const deps = { sql: hub.sql, config, clock: () => new Date(), log: recordingLog() };
  await runEdgeCheck(deps, triggerInput.parse({}));
  const [incident] = await hub.sql`
    select i.code, i.summary, d.event from incidents i
    join delivery_incidents t on t.incident_id = i.id join alert_deliveries d on d.id = t.delivery_id`;
  assert.deepEqual({ ...incident }, {
    code: "failing",
    summary: "its last 3 invocations failed: TypeError: leads is undefined",
    event: "opened",
  });
});

Deno.test("a drain's batch, packed or not, is counted per function and minute; the same batch counts once", async () => {
  await using hub = await testDatabase("hub");
  const { drain } = receivers(hub);
  const token = await tokenOf(hub, "log_drain");
  const events = drainedEvents({ count: 100, from: Date.now() - 3 * MINUTE, slugs: ["a", "b"] });
  const packed = await gzip(JSON.stringify(events));
  const first = await drain(token, packed);
  assert.deepEqual([first.status, first.json.counted, first.json.repeated], [200, 100, false]);
  assert.equal((await drain(token, packed)).json.repeated, true);
  assert.equal((await drain(token, JSON.stringify(events))).json.repeated, true, "the same, not packed");
  assert.deepEqual(await minutesOf(hub), [
    ["smoothed", "a", "drain", 50, 0, 0],
    ["smoothed", "b", "drain", 50, 10, 0],
  ]);
  const more = drainedEvents({ count: 10, from: Date.now() - 3 * MINUTE, slugs: ["a"] });
  await drain(token, JSON.stringify(more));
  assert.deepEqual((await minutesOf(hub))[0], ["smoothed", "a", "drain", 60, 1, 0]);
});

Deno.test("a function of another name in the inventory is found by its id; a path alone makes no function known", async () => {
  await using hub = await testDatabase("hub");
  const { drain } = receivers(hub);
  const token = await tokenOf(hub, "log_drain");
  await hub.sql`
    with job as (
      insert into job_inventory (project_name, job_type, job_name) values ('smoothed', 'edge_function', 'renamed') returning id)
    insert into edge_functions (job_inventory_id, function_id, status, version) select id, 'id-of-a', 'ACTIVE', 1 from job`;
  const [known, stranger] = drainedEvents({ count: 2, from: Date.now() - MINUTE, slugs: ["a", "wp-admin"] });
  const metadata = { ...stranger?.["metadata"] as Record<string, unknown>, function_id: null };
  const { json } = await drain(token, JSON.stringify([known, { ...stranger, metadata }]));
  assert.equal(json.counted, 2);
  assert.deepEqual(await minutesOf(hub), [["smoothed", "renamed", "drain", 1, 0, 0]]);
  const names = await hub.sql`select job_name from job_inventory`;
  assert.deepEqual(names.map((row) => row.job_name), ["renamed"]);
});

Deno.test("a drain of the hub's own logs cannot feed on itself; another project's receive-… is its own business", async () => {
  await using hub = await testDatabase("hub");
  const { drain } = receivers(hub);
  const slugs = ["receive-log-drain", "receive-heartbeat", "record-execution", "send-alert"];
  const events = (from: number) => JSON.stringify(drainedEvents({ count: 8, from, slugs }));
  const own = await drain(await tokenOf(hub, "log_drain", "thordata"), events(Date.now() - 3 * MINUTE));
  assert.deepEqual([own.json.dropped, own.json.counted], [6, 2]);
  const other = await drain(await tokenOf(hub, "log_drain"), events(Date.now() - 2 * MINUTE));
  assert.deepEqual([other.json.dropped, other.json.counted], [0, 8]);
});

Deno.test("a batch that is too large, sent or unpacked, gets 413; one that is none gets 400; nothing is counted", async () => {
  await using hub = await testDatabase("hub");
  const { drain } = receivers(hub);
  const token = await tokenOf(hub, "log_drain");
  const bomb = await gzip(" ".repeat(25 * 1024 * 1024));
  assert.ok(bomb.length < 100_000);
  assert.equal((await drain(token, bomb)).status, 413);
  assert.equal((await drain(token, " ".repeat(4 * 1024 * 1024 + 1))).status, 413);
  const cut = (await gzip("[]")).slice(0, 12);
  for (const body of [cut, "", "{}", "nonsense", new Uint8Array([0xff, 0xfe])]) {
    assert.equal((await drain(token, body)).status, 400);
  }
  assert.deepEqual(await minutesOf(hub), []);
  const [state] = await hub.sql`select count(*)::int as n from function_log_state`;
  assert.equal(state?.n, 0);
});

Deno.test("the statements of docs/EDGE_FUNCTIONS.md run on the hub, each changing something", async () => {
  await using hub = await testDatabase("hub");
  await hub.sql`
    insert into job_inventory (project_name, job_type, job_name) values ('smoothed', 'edge_function', 'sync-leads')`;
  const page = await Deno.readTextFile(new URL("../../docs/EDGE_FUNCTIONS.md", import.meta.url));
  const statements = readBlocks(page).filter(({ language }) => language === "sql");
  assert.equal(statements.length, 4);
  for (const { text } of statements) {
    const result = await hub.sql.unsafe(text.replaceAll("<ref>", "abcdefghijklmnopqrst"));
    assert.equal(result.count, 1, text);
  }
  const [job] = await hub.sql`select health_check_header from job_inventory`;
  assert.equal(job?.health_check_header, "apikey: vault:smoothed_key");
});

Deno.test("old reports go: executions, minutes and digests, so many at a time", async () => {
  await using hub = await testDatabase("hub");
  const { executions } = receivers(hub);
  const token = await tokenOf(hub, "executions");
  await executions(token, { executions: Array.from({ length: 5 }, () => execution()) });
  await hub.sql`update function_executions set started_at = now() - interval '31 days'`;
  await hub.sql`update function_minutes set minute = minute - interval '91 days'`;
  await hub
    .sql`insert into function_drain_batches (digest, received_at) values ('a', now() - interval '25 hours')`;
  await executions(token, { executions: [execution()] });
  const purge = async (limit: number) => {
    const [row] = await hub.sql`select monitoring.purge_function_reports(${limit}) as n`;
    return row?.n;
  };
  const rest = async () => (await hub.sql`select from function_executions`).length;
  assert.deepEqual([await purge(3), await purge(3), await purge(3), await rest()], [5, 2, 0, 1]);
});
