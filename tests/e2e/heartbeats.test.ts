/**
 * Heartbeats in the stack: plain `curl` as in a crontab and a client of the ping API of healthchecks.io, from the ping to
 * the alert; and docs/RUNBOOK.md, whose every block runs, and finds something where it looks.
 */
import assert from "node:assert/strict";
import { delimiter, join } from "node:path";
import postgres from "postgres";
import { REPOSITORY } from "../../scripts/local/repository.ts";
import type { StackInfo } from "../../scripts/local/state.ts";
import type { HealthcheckReport } from "../../supabase/functions/cron-healthcheck/run.ts";
import type { SinkDelivery } from "../fakes/sink.ts";
import { type Block, readBlocks } from "../support/markdown.ts";
import { type StackPlace, startStack, withStackPlace } from "../support/stack.ts";
import { waitFor } from "../support/wait_for.ts";

interface House {
  info: StackInfo;
  hub: postgres.Sql;
  /** For commands: the stack's folder, and `deno` where it is not on the path. */
  env: Record<string, string>;
}

function client(url: string): postgres.Sql {
  return postgres(url, { max: 1, onnotice: () => {} });
}

async function withHouse(use: (house: House) => Promise<void>): Promise<void> {
  await withStackPlace(async (place: StackPlace) => {
    const { info, child, ended } = await startStack(place);
    const hub = client(info.hub_db_url);
    const bin = await Deno.makeTempDir({ prefix: "heartbeats_test_" });
    await Deno.symlink(Deno.execPath(), join(bin, "deno"));
    const path = [bin, Deno.env.get("PATH") ?? ""].join(delimiter);
    try {
      await use({ info, hub, env: { NO_COLOR: "1", PATH: path, STACK_ROOT_DIR: place.rootDir } });
    } finally {
      await hub.end();
      await Deno.remove(bin, { recursive: true });
      child.kill("SIGINT");
      await ended;
    }
  });
}

/** Runs commands as a person types them, and answers what they printed. */
async function shell(
  text: string,
  env: Record<string, string>,
  args = ["-euo", "pipefail"],
): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: [...args, "-c", text],
    cwd: REPOSITORY,
    env,
    stdin: "null",
  }).output();
  const [printed = "", said = ""] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, `${text}\n${said}${printed}`);
  return printed;
}

async function call<Answer>({ info }: House, name: string, body: object = {}): Promise<Answer> {
  const headers = { apikey: info.secret_key, "content-type": "application/json" };
  const response = await fetch(`${info.functions_url}/${name}`, {
    method: "POST",
    headers,
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200, await response.clone().text());
  return await response.json();
}

/** What a healthcheck says of a heartbeat. */
async function judged(house: House, name: string): Promise<[string | undefined, string | null | undefined]> {
  const { projects } = await call<HealthcheckReport>(house, "cron-healthcheck");
  const found = projects.flatMap(({ details }) => details).find(({ job_name }) => job_name === name);
  return [found?.status, found?.verdict];
}

/** The alerts about a heartbeat, after all that is owed was sent. */
async function alertsAbout(house: House, name: string): Promise<string[]> {
  await call(house, "send-alert");
  const alerts: SinkDelivery[] = await (await fetch(`${house.info.sink_url}/deliveries`)).json();
  return alerts.flatMap(({ accepted, text }) => accepted && text?.includes(name) ? [text] : []);
}

async function addHeartbeat(house: House, args: string): Promise<string> {
  return JSON.parse(await shell(`deno task monitor heartbeat add ${args} --json`, house.env)).url;
}

async function runbook(): Promise<Block[]> {
  return readBlocks(await Deno.readTextFile(join(REPOSITORY, "docs", "RUNBOOK.md")));
}

Deno.test("heartbeats: by curl, by a healthchecks client, and the runbook's every block", async (t) => {
  await withHouse(async (house) => {
    await t.step(
      "the lines of the runbook for a crontab: a run that works, and one that ends with 3",
      (t) => testCurl(t, house),
    );
    await t.step("a client of the ping API: start, success, fail, exit code, log", () => testPingApi(house));
    await t.step("a token that nobody has gets 404, and too many pings 429", () => testRefusals(house));
    await t.step("docs/RUNBOOK.md", (t) => testRunbook(t, house));
  });
});

async function testCurl(t: Deno.TestContext, house: House): Promise<void> {
  const url = await addHeartbeat(house, "curl_job --every 5m");
  assert.deepEqual(await judged(house, "curl_job"), ["unknown", "never_pinged"]);
  const lines = (await runbook()).find(({ text }) => text.includes("$URL/start?rid="))?.text ?? "";
  const job = await Deno.makeTempFile();
  const run = async (script: string) => {
    await Deno.writeTextFile(job, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    await Deno.chmod(job, 0o755);
    await shell(lines.replaceAll("/usr/local/bin/export", job), { ...house.env, URL: url }, []);
  };
  try {
    await t.step("works", async () => {
      await run("echo all is well");
      assert.deepEqual(await judged(house, "curl_job"), ["healthy", null]);
      const log = await house.hub`
        select status, duration is not null as timed from job_health_log where job_name = 'curl_job' order by run_id`;
      assert.deepEqual(log.map((row) => Object.values(row)), [["success", false], ["success", true]]);
    });
    await t.step("ends with 3", async () => {
      await run("echo no space left; exit 3");
      assert.deepEqual(await judged(house, "curl_job"), ["failed", "failed"]);
      const [alert, ...others] = await alertsAbout(house, "curl_job");
      assert.deepEqual(others, []);
      assert.match(alert ?? "", /FAILED: curl_job in thordata[\s\S]*exit code 3: no space left/);
      await shell(`curl -fsS -m 10 --retry 5 -o /dev/null ${url}`, house.env);
      assert.deepEqual(await judged(house, "curl_job"), ["healthy", null]);
      assert.match((await alertsAbout(house, "curl_job")).at(-1) ?? "", /RECOVERED: curl_job/);
    });
  } finally {
    await Deno.remove(job);
  }
}

/** The requests of healthchecks.io's documented API, with the part before the token as the server. */
async function testPingApi(house: House): Promise<void> {
  const url = await addHeartbeat(house, "api_job --schedule '0 * * * *' --timezone Europe/Berlin");
  const ping = async (path = "", init: RequestInit = {}) => {
    const response = await fetch(`${url}${path}`, { headers: { "user-agent": "client/1.0" }, ...init });
    assert.deepEqual([response.status, await response.text()], [200, "OK"], path);
    assert.match(response.headers.get("content-type") ?? "", /^text\/plain/);
  };
  await ping("/start");
  assert.deepEqual(await judged(house, "api_job"), ["unknown", "first_run"]);
  await ping("/log", { method: "POST", body: "half way" });
  await ping("", { method: "POST", body: "42 rows" });
  assert.deepEqual(await judged(house, "api_job"), ["healthy", null]);
  await ping("/1");
  assert.deepEqual(await judged(house, "api_job"), ["failed", "failed"]);
  await ping("/0");
  await ping("/fail", { method: "POST", body: "x".repeat(20_000) });
  assert.deepEqual(await judged(house, "api_job"), ["failed", "failed"]);
  const [kept] = await house.hub`
    select right(body, 40) as note from monitoring.heartbeat_pings where job_name = 'api_job' and kind = 'fail' order by id desc`;
  assert.match(kept?.note, /first 10000 of 20000 bytes were kept$/);
  await ping();
  assert.deepEqual(await judged(house, "api_job"), ["healthy", null]);

  await ping("/start");
  await house.hub`update job_inventory set max_runtime_minutes = 30 where job_name = 'api_job'`;
  await house.hub`
    update monitoring.heartbeat_pings set received_at = received_at - interval '31 minutes'
    where job_name = 'api_job' and kind = 'start' and ended_by is null`;
  assert.deepEqual(await judged(house, "api_job"), ["failed", "stuck"]);
  assert.match((await alertsAbout(house, "api_job")).at(-1) ?? "", /STUCK: api_job/);
}

async function testRefusals(house: House): Promise<void> {
  const { info } = house;
  const statusOf = async (url: string, init: RequestInit = {}) => {
    const response = await fetch(url, init);
    return [response.status, await response.text()];
  };
  const base = `${info.functions_url}/receive-heartbeat`;
  for (const path of [`/${crypto.randomUUID()}`, "/x", "", "/"]) {
    assert.deepEqual(await statusOf(`${base}${path}`), [404, "not found"], path);
  }
  const url = await addHeartbeat(house, "busy_job");
  const statuses = await Promise.all(Array.from({ length: 12 }, () => statusOf(url)));
  assert.deepEqual(statuses.map(([status]) => status).sort(), [...Array(10).fill(200), 429, 429]);
  await shell("deno task monitor heartbeat remove busy_job", house.env);
  assert.deepEqual(await statusOf(url), [404, "not found"]);
}

async function testRunbook(t: Deno.TestContext, house: House): Promise<void> {
  const { hub, info, env } = house;
  const blocks = await runbook();
  assert.equal(
    blocks.filter(({ notRun }) => notRun !== null).length,
    2,
    "blocks that say why they are not run",
  );
  await prepare(house);
  const project = client(info.projects.find(({ name }) => name === "blingsting")?.db_url ?? "");
  try {
    for (const block of blocks) {
      if (block.notRun !== null || block.language === "text") continue;
      await t.step(`line ${block.line}`, async () => {
        if (block.language === "bash") await shell(block.text, env);
        else await runSql(block.text, block.text.startsWith("-- on the project") ? project : hub);
      });
    }
  } finally {
    await project.end();
  }
}

/**
 * Something to find for every query: a stale heartbeat that was told, one long gone, calls and runs of our own schedules,
 * an edge function that threw, a webhook that was asked.
 */
async function prepare(house: House): Promise<void> {
  const { hub, info } = house;
  const admin = client(info.projects.find(({ name }) => name === "thordata")?.admin_db_url ?? "");
  await admin`create extension if not exists pg_stat_statements with schema extensions`;
  // as pg_cron writes it at each full minute, for which this need not wait
  await admin`
    insert into cron.job_run_details (jobid, database, username, command, status, return_message, start_time, end_time)
    select jobid, database, username, command, 'succeeded', '1 row', now(), now() from cron.job where jobname = 'send-alert'`;
  await admin.end();
  await hub`select vault.create_secret('postgresql://old', 'blingsting_url')`;
  await hub`
    insert into job_heartbeats (job_name, last_run_at, created_at) values
      ('nightly_backup', now() - interval '30 hours', now() - interval '9 days'),
      ('long_gone', now() - interval '31 days', now() - interval '91 days')`;
  assert.deepEqual(await judged(house, "nightly_backup"), ["missed", "missed"]);
  assert.equal((await alertsAbout(house, "nightly_backup")).length, 1);
  await hub`
    select monitoring.record_executions('smoothed', jsonb_build_array(jsonb_build_object(
      'id', gen_random_uuid(), 'function_name', 'sync-leads', 'status', 'failed', 'started_at', now(),
      'ended_at', now(), 'duration_ms', 12, 'error_name', 'TypeError', 'error_message', 'no leads')))`;
  await hub`
    insert into job_inventory (project_name, job_type, job_name, health_check_url)
    values ('smoothed', 'webhook', 'crm_hook', 'https://10.0.0.1/health')`;
  await call(house, "check-edge-functions");
  await hub`select monitoring.invoke_edge_function('cron-healthcheck', '{"source": "cron"}')`;
  await waitFor(async () => (await hub`select from net._http_response where status_code = 202`)[0], {
    what: "the answer to a call by pg_net",
    withinMs: 30_000,
  });
}

/** One statement after the other: each finds, changes or answers something. */
async function runSql(text: string, sql: postgres.Sql): Promise<void> {
  const answer: unknown = await sql.unsafe(text).simple();
  const results = (Array.isArray(answer) && Array.isArray(answer[0]) ? answer : [answer]) as postgres.RowList<
    postgres.Row[]
  >[];
  for (const [index, { command, count }] of results.entries()) {
    assert.notEqual(count, 0, `${command} number ${index + 1} in\n${text}`);
  }
}
