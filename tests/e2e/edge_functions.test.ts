/**
 * Edge functions of a watched project, over HTTP: one that throws, one that hangs, one removed; a log drain; and a hub
 * that goes away under a wrapped function.
 */
import assert from "node:assert/strict";
import postgres from "postgres";
import { z } from "zod";
import { type FunctionSettings, readFunctionsConfig } from "../../scripts/local/functions_config.ts";
import { type Gateway, startGateway } from "../../scripts/local/gateway.ts";
import { stopAllClusters } from "../../scripts/local/postgres.ts";
import { listProcesses } from "../../scripts/local/processes.ts";
import { processMarker, type StackInfo } from "../../scripts/local/state.ts";
import { type FakeManagementApi, startManagementApi } from "../fakes/management_api.ts";
import type { SinkDelivery } from "../fakes/sink.ts";
import { drainedEvents, gzip } from "../support/drain.ts";
import { type StackPlace, startStack, withStackPlace } from "../support/stack.ts";
import { waitFor } from "../support/wait_for.ts";

const REF = "abcdefghijklmnopqrst";
const WATCHED = new URL("../fixtures/watched", import.meta.url).pathname;
const WRAPPER = new URL("../../supabase/functions/with_execution_log.ts", import.meta.url).pathname;
const DEPLOYED = [{ slug: "answers" }, { slug: "throws" }, { slug: "hangs" }, { slug: "forgotten" }];
/** What hosted Supabase allows a request. */
const CPU_LIMIT_MS = 2_000;

/** What the answers of the functions here have in them that these tests read. */
const functionAnswer = z.object({
  counted: z.number().optional(),
  projects: z.array(z.object({
    project: z.string(),
    errors: z.array(z.unknown()),
    details: z.array(z.object({
      ...{ job_name: z.string(), status: z.string(), verdict: z.string().nullable(), summary: z.string() },
    })),
  })).optional(),
});

interface Answer {
  status: number;
  json: z.infer<typeof functionAnswer>;
}

async function post(url: string, headers: Record<string, string>, body: BodyInit = "{}"): Promise<Answer> {
  const response = await fetch(url, { method: "POST", headers, body });
  return { status: response.status, json: functionAnswer.parse(await response.json()) };
}

Deno.test("edge functions of a watched project: throwing, hanging, removed, drained; and the hub away", async (t) => {
  await withStackPlace(async (place) => {
    await using api = startManagementApi({ token: "sbp_test" });
    api.deploy(REF, DEPLOYED);
    const watchedPort = place.sparePort;
    const secrets = `${place.rootDir}/secrets.env`;
    await Deno.writeTextFile(
      secrets,
      [
        `MANAGEMENT_API_URL=${api.url}`,
        "MANAGEMENT_API_TOKEN=sbp_test",
        `OUTGOING_ALLOWED_HOSTS=127.0.0.1:${place.portOf("sink")},127.0.0.1:${watchedPort}`,
      ].join("\n"),
    );
    const stack = await startStack(place, ["--no-demo", "--secrets", secrets]);
    const hub = postgres(stack.info.hub_db_url, { max: 1, onnotice: () => {} });
    const functions = await copyProject(`${place.rootDir}/watched`);
    const watched = await startWatched(functions, watchedPort, place, {
      EXECUTION_LOG_URL: `${stack.info.functions_url}/record-execution`,
      EXECUTION_LOG_TOKEN: await tokenOf(hub, "executions"),
    });
    try {
      await hub`
        insert into public.monitored_projects (name, project_ref) values ('smoothed', ${REF})`;
      await testWatched({ t, place, info: stack.info, hub, api, watched });
      stack.child.kill("SIGINT");
      assert.equal(await stack.ended, 0);
      await t.step("with no hub at all a wrapped function answers as before", async () => {
        assert.equal(await ask(watched, "answers"), "200 body");
        assert.match(await ask(watched, "throws"), /^500 /);
      });
    } finally {
      await hub.end({ timeout: 1 });
      if (!stack.hasEnded()) stack.child.kill("SIGINT");
      await stack.ended;
      await watched.stop();
    }
  });
});

interface House {
  t: Deno.TestContext;
  place: StackPlace;
  info: StackInfo;
  hub: postgres.Sql;
  api: FakeManagementApi;
  watched: Gateway;
}

async function testWatched({ t, place, info, hub, api, watched }: House): Promise<void> {
  const check = async () => {
    const answer = await post(`${info.functions_url}/check-edge-functions`, { apikey: info.secret_key });
    assert.equal(answer.status, 200, JSON.stringify(answer.json));
    const project = answer.json.projects?.find(({ project }) => project === "smoothed");
    assert.deepEqual(project?.errors, []);
    return (name: string) => project?.details.find(({ job_name }) => job_name === name);
  };
  const alertAbout = async (text: RegExp): Promise<SinkDelivery> => {
    await post(`${info.functions_url}/send-alert`, { apikey: info.secret_key });
    return await waitFor(async () => {
      const alerts: SinkDelivery[] = await (await fetch(`${info.sink_url}/deliveries`)).json();
      return alerts.find((alert) => alert.accepted && text.test(alert.text ?? ""));
    }, { what: `an alert like ${text}`, withinMs: 30_000 });
  };

  await t.step("pg_cron's call of the check is answered at once and completes", async () => {
    await hub`select monitoring.invoke_edge_function('check-edge-functions', '{"source":"cron"}')`;
    await waitFor(async () => {
      const runs = await hub`
        select from public.check_runs
        where function_name = 'check-edge-functions' and source = 'cron' and status = 'complete'`;
      return runs.length > 0;
    }, { what: "the check to complete", withinMs: 30_000 });
    const names = await hub`
      select job_name from public.job_inventory where job_type = 'edge_function' and project_name = 'smoothed' order by 1`;
    assert.deepEqual(names.map(({ job_name }) => job_name), ["answers", "forgotten", "hangs", "throws"]);
  });

  await t.step(
    "one that throws: its caller gets the error, the hub the executions, people an alert",
    async () => {
      for (let i = 0; i < 3; i++) assert.match(await ask(watched, "throws"), /^500 .*EDGE_FUNCTION_ERROR/);
      await waitFor(async () => (await executionsOf(hub, "throws")).length === 3, {
        what: "three executions",
        withinMs: 60_000,
      });
      for (const row of await executionsOf(hub, "throws")) {
        assert.deepEqual([row["status"], row["error_name"], row["error_message"]], [
          "failed",
          "TypeError",
          "Cannot reach postgres://app:***@db/leads",
        ]);
      }
      assert.equal((await check())("throws")?.verdict, "failing");
      const alert = await alertAbout(/FAILING: throws in smoothed/);
      assert.match(alert.text ?? "", /TypeError: Cannot reach/);
      assert.doesNotMatch(alert.text ?? "", /hunter2/);
    },
  );

  await t.step("one that answers: body and status as they are, and healthy", async () => {
    for (let i = 0; i < 3; i++) assert.equal(await ask(watched, "answers"), "200 body");
    await waitFor(async () => (await executionsOf(hub, "answers")).length === 3, {
      what: "three executions",
      withinMs: 60_000,
    });
    assert.equal((await check())("answers")?.status, "healthy");
  });

  await t.step("one that hangs: told as running, and its health check gives up", async () => {
    await hub`
      update public.job_inventory
      set health_check_url = ${`${watched.url}/functions/v1/hangs`}, health_check_timeout_ms = 500, failure_threshold = 1
      where job_name = 'hangs'`;
    const call = new AbortController();
    const hanging = fetch(`${watched.url}/functions/v1/hangs`, { signal: call.signal }).catch(() => {});
    await waitFor(async () => (await executionsOf(hub, "hangs")).some((row) => row["status"] === "running"), {
      what: "the running execution",
      withinMs: 60_000,
    });
    call.abort();
    await hanging;
    assert.match((await check())("hangs")?.summary ?? "", /did not answer within 500 ms/);
    await alertAbout(/UNHEALTHY: hangs in smoothed/);
  });

  await t.step("one removed, of which calls are expected", async () => {
    await hub`update public.job_inventory set max_silence_minutes = 1440 where job_name = 'forgotten'`;
    api.deploy(REF, DEPLOYED.filter(({ slug }) => slug !== "forgotten"));
    assert.equal((await check())("forgotten")?.verdict, "removed");
    await alertAbout(/REMOVED: forgotten in smoothed/);
  });

  await t.step(
    "a drain of 10,000 events, gzipped: counted, in a fraction of the CPU that is allowed",
    async () => {
      const url = `${info.functions_url}/receive-log-drain`;
      const events = JSON.stringify(drainedEvents({ count: 10_000, from: Date.now() - 300_000 }));
      const headers = { "x-report-token": await tokenOf(hub, "log_drain"), "content-encoding": "gzip" };
      assert.equal(
        (await post(url, { apikey: info.secret_key })).status,
        401,
        "no key of the project opens it",
      );
      const before = await cpuOf(place, "receive-log-drain");
      const answer = await post(url, headers, await gzip(events));
      const after = await cpuOf(place, "receive-log-drain");
      assert.deepEqual([answer.status, answer.json.counted], [200, 10_000]);
      if (before !== null && after !== null) assert.ok(after - before < CPU_LIMIT_MS, `${after - before} ms`);
      const [sum] = await hub`
      select sum(invocations)::int as invocations, sum(errors)::int as errors from public.function_minutes
      where source = 'drain'`;
      assert.deepEqual({ ...sum }, { invocations: 10_000, errors: 1_000 });
    },
  );

  await t.step("with the hub's database down a wrapped function answers as before", async () => {
    assert.deepEqual(await stopAllClusters(place.rootDir, ["thordata"]), ["thordata"]);
    assert.equal(await ask(watched, "answers"), "200 body");
    assert.match(await ask(watched, "throws"), /^500 .*EDGE_FUNCTION_ERROR/);
  });
}

/** The project as a person has it who copied the wrapper into `_shared`. */
async function copyProject(folder: string): Promise<FunctionSettings[]> {
  await Deno.mkdir(`${folder}/functions/_shared`, { recursive: true });
  await Deno.copyFile(WRAPPER, `${folder}/functions/_shared/with_execution_log.ts`);
  for (const file of ["config.toml", "functions/import_map.json"]) {
    await Deno.copyFile(`${WATCHED}/${file}`, `${folder}/${file}`);
  }
  for (const name of ["answers", "throws", "hangs"]) {
    const text = await Deno.readTextFile(`${WATCHED}/functions/${name}/index.ts`);
    await Deno.mkdir(`${folder}/functions/${name}`);
    await Deno.writeTextFile(
      `${folder}/functions/${name}/index.ts`,
      text.replace(/"[^"]*with_execution_log\.ts"/, '"../_shared/with_execution_log.ts"'),
    );
  }
  return await readFunctionsConfig(`${folder}/config.toml`);
}

async function startWatched(
  functions: FunctionSettings[],
  port: number,
  place: StackPlace,
  env: Record<string, string>,
): Promise<Gateway> {
  const logDir = `${place.rootDir}/watched_logs`;
  return await startGateway({ port, functions, env, logDir, marker: `--stack=${logDir}`, drainMs: 1_000 });
}

/** Status and body of a call. */
async function ask(watched: Gateway, name: string): Promise<string> {
  const response = await fetch(`${watched.url}/functions/v1/${name}`, { method: "POST", body: "body" });
  return `${response.status} ${await response.text()}`;
}

async function tokenOf(hub: postgres.Sql, purpose: string): Promise<string> {
  const [row] = await hub<{ token: string }[]>`
    select monitoring.create_report_token('smoothed', ${purpose}) as token`;
  return row?.token ?? "";
}

async function executionsOf(hub: postgres.Sql, name: string) {
  return await hub`
    select status, error_name, error_message from public.function_executions where function_name = ${name}`;
}

/** CPU milliseconds that a function's process has used; `null` where the system does not tell. */
async function cpuOf(place: StackPlace, name: string): Promise<number | null> {
  const marker = processMarker(place.rootDir);
  const all = await listProcesses();
  const found = all.find(({ args }) => args.at(-1) === marker && args.at(-2) === name);
  if (found === undefined) return null;
  const stat = await Deno.readTextFile(`/proc/${found.pid}/stat`).catch(() => null);
  // after the name in brackets; in hundredths of a second
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields === undefined ? null : (Number(fields[11]) + Number(fields[12])) * 10;
}
