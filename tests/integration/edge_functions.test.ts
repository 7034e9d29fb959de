/** check-edge-functions against a real hub, a strict fake of the Management API and endpoints on loopback. */
import assert from "node:assert/strict";
import { edgeCheckEnding, runEdgeCheck } from "../../supabase/functions/check-edge-functions/run.ts";
import { runDiscovery } from "../../supabase/functions/discover-jobs/run.ts";
import { triggerInput } from "../../supabase/functions/_shared/http/trigger.ts";
import { type FakeManagementApi, startManagementApi } from "../fakes/management_api.ts";
import { startEndpoint } from "../support/endpoint.ts";
import { configFor, recordingLog, watchOnlyOthers } from "../support/functions.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

const REF = "abcdefghijklmnopqrst";
const MINUTE = 60_000;

/** A hub that watches `smoothed`, whose Postgres nobody asks here. */
async function watchedHub(): Promise<TestDatabase> {
  const hub = await testDatabase("hub");
  await watchOnlyOthers(hub);
  await hub.sql`insert into monitored_projects (name, project_ref) values ('smoothed', ${REF})`;
  await hub
    .sql`insert into alert_config (name, channel, webhook_url) values ('all', 'discord', 'https://discord.com/x')`;
  return hub;
}

interface Asked {
  api?: FakeManagementApi;
  now?: number;
  allowed?: string[];
  env?: Record<string, string>;
  dryRun?: boolean;
}

function depsFor(hub: TestDatabase, { api, now = Date.now(), allowed = [], env = {} }: Asked) {
  const more = {
    ...(api === undefined ? {} : { MANAGEMENT_API_URL: api.url, MANAGEMENT_API_TOKEN: "sbp_test" }),
    OUTGOING_ALLOWED_HOSTS: allowed.join(","),
    ...env,
  };
  const config = configFor(hub, { smoothed: "postgresql://u:p@127.0.0.1:1/postgres" }, more);
  return { sql: hub.sql, config, clock: () => new Date(now), log: recordingLog() };
}

async function check(hub: TestDatabase, asked: Asked = {}) {
  const input = triggerInput.parse({ dry_run: asked.dryRun ?? false });
  const report = await runEdgeCheck(depsFor(hub, asked), input);
  const [project] = report.projects;
  assert.ok(project !== undefined);
  const of = (name: string) => project.details.find(({ job_name }) => job_name === name);
  return { report, project, of, ending: edgeCheckEnding(report, input) };
}

async function openIncidents(hub: TestDatabase) {
  const rows = await hub.sql`
    select i.code, i.severity, i.summary, j.job_name
    from incidents i left join job_inventory j on j.id = i.job_inventory_id
    where i.resolved_at is null order by i.opened_at`;
  return rows.map((row) => ({ ...row }));
}

/** So many invocations in the minute `minutesAgo`, of which the first `failed` answered 500. */
function invocations(slug: string, minutesAgo: number, count: number, failed = 0) {
  const at = Math.floor(Date.now() / MINUTE) * MINUTE - minutesAgo * MINUTE;
  return Array.from({ length: count }, (_, i) => ({ slug, at: at + i, status: i < failed ? 500 : 200 }));
}

Deno.test("new, removed and returned functions, versions and throttling are changes of the inventory", async () => {
  await using hub = await watchedHub();
  await using api = startManagementApi({ token: "sbp_test" });
  api.deploy(REF, [{ slug: "sync-leads", version: 3 }, { slug: "old", status: "REMOVED" }]);
  await check(hub, { api });
  api.deploy(REF, [{ slug: "sync-leads", version: 4, status: "THROTTLED" }, { slug: "added" }]);
  await check(hub, { api });
  api.deploy(REF, [{ slug: "sync-leads", version: 4 }]);
  await check(hub, { api });
  await check(hub, { api });
  const rows = await hub
    .sql`select job_name, change, old_value, new_value from inventory_changes order by id`;
  assert.deepEqual(rows.map((row) => Object.values(row)), [
    ["sync-leads", "added", null, null],
    ["added", "added", null, null],
    ["sync-leads", "version", "3", "4"],
    ["sync-leads", "status", "ACTIVE", "THROTTLED"],
    ["added", "removed", null, null],
    ["sync-leads", "status", "THROTTLED", "ACTIVE"],
  ]);
});

Deno.test("discovery finds the same changes, each once", async () => {
  await using hub = await watchedHub();
  await using project = await testDatabase("project");
  await using api = startManagementApi({ token: "sbp_test" });
  api.deploy(REF, [{ slug: "sync-leads", version: 3 }]);
  const more = { MANAGEMENT_API_URL: api.url, MANAGEMENT_API_TOKEN: "sbp_test" };
  const config = configFor(hub, { smoothed: project.url }, more);
  const deps = { sql: hub.sql, config, clock: () => new Date(), log: recordingLog() };
  await runDiscovery(deps, triggerInput.parse({}));
  api.deploy(REF, [{ slug: "sync-leads", version: 5, status: "THROTTLED" }]);
  await runDiscovery(deps, triggerInput.parse({}));
  await check(hub, { api });
  const rows = await hub.sql`select change, new_value from inventory_changes order by id`;
  assert.deepEqual(rows.map((row) => Object.values(row)), [
    ["added", null],
    ["version", "5"],
    ["status", "THROTTLED"],
  ]);
});

Deno.test("a throttled function is an incident that its activation ends", async () => {
  await using hub = await watchedHub();
  await using api = startManagementApi({ token: "sbp_test" });
  api.deploy(REF, [{ slug: "sync-leads", status: "THROTTLED" }]);
  const { of } = await check(hub, { api });
  assert.deepEqual([of("sync-leads")?.status, of("sync-leads")?.verdict], ["failed", "throttled"]);
  assert.deepEqual((await openIncidents(hub)).map(({ code }) => code), ["throttled"]);
  const [owed] = await hub.sql`select count(*)::int as n from alert_deliveries where event = 'opened'`;
  assert.equal(owed?.n, 1);
  api.deploy(REF, [{ slug: "sync-leads" }]);
  await check(hub, { api });
  assert.deepEqual(await openIncidents(hub), []);
});

Deno.test("the logs' error rate: failing from its threshold on, recovered by newer invocations that succeed", async () => {
  await using hub = await watchedHub();
  await using api = startManagementApi({ token: "sbp_test" });
  api.deploy(REF, [{ slug: "sync-leads" }, { slug: "steady" }]);
  api.invoke(REF, [...invocations("sync-leads", 12, 10, 2), ...invocations("steady", 12, 100, 19)]);
  const { of, project, ending } = await check(hub, { api });
  assert.deepEqual(project.errors, []);
  assert.equal(ending.status, "complete");
  assert.deepEqual([of("sync-leads")?.status, of("sync-leads")?.verdict], ["failed", "failing"]);
  assert.match(of("sync-leads")?.summary ?? "", /2 of its last 10 invocations failed \(20%\)/);
  assert.deepEqual([of("steady")?.status, of("steady")?.verdict], ["healthy", null]);
  api.invoke(REF, invocations("sync-leads", 3, 10));
  const after = await check(hub, { api });
  assert.equal(after.of("sync-leads")?.status, "healthy");
  assert.deepEqual(await openIncidents(hub), []);
});

Deno.test("a function without traffic is idle and unknown, never healthy; calls of our own are no traffic", async () => {
  await using hub = await watchedHub();
  await using api = startManagementApi({ token: "sbp_test" });
  api.deploy(REF, [{ slug: "sync-leads" }]);
  const userAgent = "supabase-job-monitor/1 (health check)";
  api.invoke(REF, invocations("sync-leads", 8, 3).map((one) => ({ ...one, userAgent })));
  const { of } = await check(hub, { api });
  assert.deepEqual([of("sync-leads")?.status, of("sync-leads")?.verdict], ["unknown", "idle"]);
  assert.deepEqual(await openIncidents(hub), []);
});

Deno.test("silence where calls are expected is missed, while somebody would have seen them", async () => {
  await using hub = await watchedHub();
  await using api = startManagementApi({ token: "sbp_test" });
  api.deploy(REF, [{ slug: "sync-leads" }]);
  api.invoke(REF, invocations("sync-leads", 40, 2));
  await check(hub, { api });
  await hub.sql`update job_inventory set max_silence_minutes = 30 where job_name = 'sync-leads'`;
  const { of } = await check(hub, { api });
  assert.deepEqual([of("sync-leads")?.status, of("sync-leads")?.verdict], ["missed", "silent"]);
  api.invoke(REF, invocations("sync-leads", 1, 1));
  await check(hub, { api });
  assert.deepEqual(await openIncidents(hub), []);
});

Deno.test("logs that answer an error with status 200 are an error, and after half an hour an incident", async () => {
  await using hub = await watchedHub();
  await using api = startManagementApi({ token: "sbp_test" });
  api.deploy(REF, [{ slug: "sync-leads" }]);
  api.breakLogs("Memory limit exceeded");
  const { project, ending } = await check(hub, { api });
  assert.match(project.errors[0]?.message ?? "", /the logs answered an error \(Memory limit exceeded\)/);
  assert.equal(ending.status, "partial");
  assert.deepEqual(await openIncidents(hub), []);
  await hub.sql`update function_log_state set error_since = now() - interval '31 minutes'`;
  await check(hub, { api });
  assert.deepEqual((await openIncidents(hub)).map(({ code, severity }) => [code, severity]), [
    ["logs_unreadable", "low"],
  ]);
  api.breakLogs(null);
  await check(hub, { api });
  assert.deepEqual(await openIncidents(hub), []);
});

Deno.test("a rate limit is respected: nothing is asked before it is over", async () => {
  await using hub = await watchedHub();
  await using api = startManagementApi({ token: "sbp_test", logRequests: 0 });
  api.deploy(REF, [{ slug: "sync-leads" }]);
  const now = Date.now();
  const { project } = await check(hub, { api, now });
  assert.match(project.errors[0]?.message ?? "", /fewer requests/);
  await check(hub, { api, now: now + 29_000 });
  assert.equal(api.questions().length, 1);
  await check(hub, { api, now: now + 31_000 });
  assert.equal(api.questions().length, 2);
});

Deno.test("after a long absence the logs are read in pages, no more than 24 hours, each minute once", async () => {
  await using hub = await watchedHub();
  await using api = startManagementApi({ token: "sbp_test" });
  api.deploy(REF, [{ slug: "sync-leads" }]);
  await check(hub, { api });
  await hub.sql`update function_log_state set read_until = now() - interval '3 days'`;
  api.invoke(REF, Array.from({ length: 1_200 }, (_, i) => invocations("sync-leads", i + 1, 1)).flat());
  const { project } = await check(hub, { api });
  assert.deepEqual(project.errors, []);
  assert.ok(api.questions().every(({ status }) => status === 200));
  const [row] = await hub.sql`
    select count(*)::int as minutes, sum(invocations)::int as invocations from function_minutes`;
  assert.deepEqual({ ...row }, { minutes: 1_200, invocations: 1_200 });
});

Deno.test("a wrong token and an unknown ref are errors in the answer; nothing is called removed or healthy", async () => {
  await using hub = await watchedHub();
  await using api = startManagementApi({ token: "sbp_other" });
  await hub
    .sql`insert into job_inventory (project_name, job_type, job_name) values ('smoothed', 'edge_function', 'a')`;
  const { project, of, report } = await check(hub, { api });
  assert.match(project.errors[0]?.message ?? "", /refused the token/);
  assert.ok(!JSON.stringify(report).includes("sbp_test"));
  assert.deepEqual([of("a")?.status, of("a")?.verdict], ["unknown", "not_watched"]);
  assert.deepEqual(await openIncidents(hub), []);
});

Deno.test("a health check that fails twice is an incident, one that answers again ends it", async () => {
  await using hub = await watchedHub();
  await using endpoint = startEndpoint();
  await hub.sql`
    insert into job_inventory (project_name, job_type, job_name, health_check_url, criticality)
    values ('smoothed', 'edge_function', 'a', ${endpoint.url}, 'critical')`;
  const allowed = [endpoint.host];
  assert.equal((await check(hub, { allowed })).of("a")?.status, "healthy");
  endpoint.answer(() => new Response("broken", { status: 503 }));
  const first = (await check(hub, { allowed })).of("a");
  assert.deepEqual([first?.status, first?.verdict], ["unknown", "below_threshold"]);
  assert.deepEqual(await openIncidents(hub), []);
  const second = (await check(hub, { allowed })).of("a");
  assert.deepEqual([second?.status, second?.verdict], ["failed", "unhealthy"]);
  assert.deepEqual(await openIncidents(hub), [{
    code: "unhealthy",
    severity: "critical",
    summary: "its health check answered 503 instead of 2xx, 2 times in a row",
    job_name: "a",
  }]);
  endpoint.answer(() => new Response("fine"));
  await check(hub, { allowed });
  assert.deepEqual(await openIncidents(hub), []);
  const logged = await hub.sql`select source, status from job_health_log order by collected_at`;
  assert.deepEqual(logged.map((row) => Object.values(row)), [
    ["health_check", "success"],
    ["health_check", "failed"],
    ["health_check", "failed"],
    ["health_check", "success"],
  ]);
});

Deno.test("status, text, time and latency are what the annotations say; header and URL may be secrets", async () => {
  await using hub = await watchedHub();
  await using endpoint = startEndpoint();
  const seen: (string | null)[] = [];
  endpoint.answer((request) => {
    seen.push(request.headers.get("apikey"), request.headers.get("user-agent"));
    return new Response('{"db":"up"}', { status: 404 });
  });
  await hub.sql`select vault.create_secret('sb_publishable_x', 'smoothed_key')`;
  await hub.sql`
    insert into job_inventory
      (project_name, job_type, job_name, health_check_url, health_check_status, health_check_body, health_check_header)
    values
      ('smoothed', 'edge_function', 'a', 'env:A_URL', '200, 404', '"db":"up"', 'apikey: vault:smoothed_key'),
      ('smoothed', 'webhook', 'b', ${endpoint.url}, '404', 'nowhere', null),
      ('smoothed', 'edge_function', 'c', 'env:NO_SUCH_URL', null, null, null)`;
  const asked = { allowed: [endpoint.host], env: { A_URL: `${endpoint.url}?key=hidden` } };
  await check(hub, asked);
  const { of, report } = await check(hub, asked);
  assert.equal(of("a")?.status, "healthy");
  assert.match(of("b")?.summary ?? "", /without the text of health_check_body/);
  assert.deepEqual([of("c")?.status, of("c")?.verdict], ["unknown", "health_check_refused"]);
  assert.ok(seen.includes("sb_publishable_x"));
  assert.ok(seen.includes("supabase-job-monitor/1 (health check)"));
  const stored = await hub.sql`select to_jsonb(h)::text as row from health_checks h`;
  const text = JSON.stringify([report, stored, await openIncidents(hub)]);
  assert.ok(!text.includes("hidden") && !text.includes("sb_publishable_x"));
});

Deno.test("an endpoint that hangs is given up at its timeout; redirects are not followed; private hosts are not asked", async () => {
  await using hub = await watchedHub();
  await using endpoint = startEndpoint();
  let hits = 0;
  endpoint.answer((request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/hang") return new Promise<Response>(() => {});
    if (pathname === "/moved") return Response.redirect(`${endpoint.url}/inner`);
    hits++;
    return new Response("inner");
  });
  await hub.sql`
    insert into job_inventory
      (project_name, job_type, job_name, health_check_url, health_check_timeout_ms, failure_threshold)
    values
      ('smoothed', 'edge_function', 'hangs', ${`${endpoint.url}/hang`}, 100, 1),
      ('smoothed', 'edge_function', 'moved', ${`${endpoint.url}/moved`}, null, 1),
      ('smoothed', 'edge_function', 'private', 'https://10.0.0.7/admin', null, 1)`;
  const { of } = await check(hub, { allowed: [endpoint.host] });
  assert.match(of("hangs")?.summary ?? "", /did not answer within 100 ms/);
  assert.match(of("moved")?.summary ?? "", /answered 302 instead of 2xx/);
  assert.match(of("private")?.summary ?? "", /cannot be asked: .*not on the public internet/);
  assert.equal(hits, 0);
});

Deno.test("a function that answers too slowly twice is degraded, not down", async () => {
  await using hub = await watchedHub();
  await using endpoint = startEndpoint();
  endpoint.answer(async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return new Response("fine");
  });
  await hub.sql`
    insert into job_inventory (project_name, job_type, job_name, health_check_url, health_check_max_ms)
    values ('smoothed', 'edge_function', 'a', ${endpoint.url}, 1)`;
  await check(hub, { allowed: [endpoint.host] });
  const { of } = await check(hub, { allowed: [endpoint.host] });
  assert.deepEqual([of("a")?.status, of("a")?.verdict], ["healthy", "slow"]);
  assert.deepEqual((await openIncidents(hub)).map(({ code, severity }) => [code, severity]), [[
    "slow",
    "low",
  ]]);
});

Deno.test("health checks are asked side by side, with a bound", async () => {
  await using hub = await watchedHub();
  await using endpoint = startEndpoint();
  let [now, most] = [0, 0];
  const first = Promise.withResolvers<void>();
  endpoint.answer(async () => {
    most = Math.max(most, ++now);
    if (now === 20) first.resolve();
    await first.promise;
    now--;
    return new Response("fine");
  });
  await hub.sql`
    insert into job_inventory (project_name, job_type, job_name, health_check_url)
    select 'smoothed', 'edge_function', 'f' || n, ${endpoint.url} from generate_series(1, 50) n`;
  const { report } = await check(hub, { allowed: [endpoint.host] });
  assert.deepEqual([report.healthy, most], [50, 20]);
});

Deno.test("a removed function of which something is expected is an incident until it returns or nobody expects it", async () => {
  await using hub = await watchedHub();
  await using api = startManagementApi({ token: "sbp_test" });
  api.deploy(REF, [{ slug: "kept" }, { slug: "gone" }, { slug: "unloved" }]);
  await check(hub, { api });
  await hub.sql`update job_inventory set max_silence_minutes = 600 where job_name in ('kept', 'gone')`;
  api.deploy(REF, []);
  const { of } = await check(hub, { api });
  assert.equal(of("gone")?.verdict, "removed");
  assert.equal(of("unloved"), undefined);
  assert.deepEqual((await openIncidents(hub)).map(({ code, job_name }) => [code, job_name]).sort(), [
    ["removed", "gone"],
    ["removed", "kept"],
  ]);
  api.deploy(REF, [{ slug: "kept" }]);
  await hub.sql`update job_inventory set max_silence_minutes = null where job_name = 'gone'`;
  await check(hub, { api });
  assert.deepEqual(await openIncidents(hub), []);
  const ends = await hub.sql`
    select j.job_name, i.resolution from incidents i join job_inventory j on j.id = i.job_inventory_id order by 1`;
  assert.deepEqual(ends.map((row) => Object.values(row)), [["gone", "removed"], ["kept", "recovered"]]);
});

Deno.test("a dry run answers the same and writes nothing", async () => {
  await using hub = await watchedHub();
  await using api = startManagementApi({ token: "sbp_test" });
  api.deploy(REF, [{ slug: "sync-leads" }]);
  api.invoke(REF, invocations("sync-leads", 12, 10, 9));
  const dry = await check(hub, { api, dryRun: true });
  assert.deepEqual([dry.of("sync-leads")?.verdict, dry.report.incidents_opened], ["failing", 0]);
  const [row] = await hub.sql`
    select (select count(*) from job_inventory)::int as jobs, (select count(*) from function_minutes)::int as minutes,
           (select count(*) from incidents)::int as incidents`;
  assert.deepEqual({ ...row }, { jobs: 0, minutes: 0, incidents: 0 });
  const wet = await check(hub, { api });
  assert.deepEqual([wet.of("sync-leads")?.verdict, wet.report.incidents_opened], ["failing", 1]);
  const again = await check(hub, { api, dryRun: true });
  assert.equal(again.of("sync-leads")?.verdict, "failing");
});
