/** The whole stack as a person has it: `start`, real pg_cron, the functions over HTTP, alerts at the sink, `stop`. */
import assert from "node:assert/strict";
import postgres from "postgres";
import { stopAllClusters } from "../../scripts/local/postgres.ts";
import { isProcessUp, listProcesses } from "../../scripts/local/processes.ts";
import { processMarker, type StackInfo } from "../../scripts/local/state.ts";
import type { SinkDelivery } from "../fakes/sink.ts";
import {
  assertNothingLeft,
  runScript,
  type StackPlace,
  startStack,
  withStackPlace,
} from "../support/stack.ts";
import { waitFor } from "../support/wait_for.ts";

/** pg_cron fires at full minutes: a failing run, the check that sees it and the delivery may each take one. */
const CRON_DEADLINE_MS = 240_000;

interface Answer {
  status: number;
  json: Record<string, unknown> & { error?: { code: string; message: string; faults?: string[] } };
}

/** Calls a function as `curl` does, with the default secret key unless the headers say otherwise. */
async function call(info: StackInfo, name: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(`${info.functions_url}/${name}`, {
    method: "POST",
    headers: { apikey: info.secret_key, "content-type": "application/json" },
    body: "{}",
    ...init,
  });
  return { status: response.status, json: await response.json() };
}

async function alertsOf(info: StackInfo): Promise<SinkDelivery[]> {
  return await (await fetch(`${info.sink_url}/deliveries`)).json();
}

/** The answer that pg_net got to a request. */
async function pgNetAnswer(sql: postgres.Sql, requestId: string) {
  return await waitFor(async () => {
    const [row] = await sql<{ status_code: number | null; content: string; error_msg: string | null }[]>`
      select status_code, content, error_msg from net._http_response where id = ${requestId}`;
    return row;
  }, { what: `pg_net's answer to request ${requestId}`, withinMs: 30_000 });
}

async function functionPids(place: StackPlace, name: string): Promise<number[]> {
  const marker = processMarker(place.rootDir);
  const all = await listProcesses();
  return all.filter(({ args }) => args.at(-1) === marker && args.at(-2) === name).map(({ pid }) => pid);
}

Deno.test("the stack: pg_cron fires the functions, alerts arrive, every trigger works, Ctrl-C leaves nothing", async (t) => {
  await withStackPlace((place) => testStack(place, t));
});

async function testStack(place: StackPlace, t: Deno.TestContext): Promise<void> {
  const { info, ended, child, printed } = await startStack(place);
  const hub = postgres(info.hub_db_url, { max: 1, onnotice: () => {} });
  const project = (name: string) => info.projects.find((candidate) => candidate.name === name)?.db_url ?? "";
  try {
    await t.step("stack.json tells how to reach everything, to this user only", async () => {
      assert.deepEqual(info.projects.map(({ name }) => name), [
        "smoothed",
        "blingsting",
        "scraping",
        "thordata",
      ]);
      assert.equal(project("thordata"), info.hub_db_url);
      const { mode } = await Deno.stat(`${place.rootDir}/stack.json`);
      assert.equal((mode ?? 0) & 0o777, 0o600);
      assert.equal(info.gateway_url, `http://127.0.0.1:${place.portOf("gateway")}`);
    });

    await t.step("the first check found the failed and the missed job, and both alerts arrived", async () => {
      const alerts = await alertsOf(info);
      const about = (text: RegExp) => alerts.find((alert) => alert.accepted && text.test(alert.text ?? ""));
      assert.equal(
        about(/MISSED: scrape.serp in scraping/)?.channel,
        "telegram",
        "critical goes to Telegram",
      );
      assert.equal(about(/FAILED: send.invoices in blingsting/)?.channel, "discord");
      assert.deepEqual(alerts.filter((alert) => !alert.accepted), []);
      assert.match(printed(), /MISSED: scrape.serp in scraping/, "and each was shown");
    });

    await t.step("the demo has a job of every kind", async () => {
      const jobs = await hub<{ project_name: string; job_name: string; job_user: string; active: boolean }[]>`
        select project_name, job_name, job_user, active from public.job_inventory`;
      const named = (name: string) => jobs.filter((job) => job.job_name === name);
      assert.deepEqual(named("sync_contacts").map((job) => job.job_user).sort(), ["crm_app", "postgres"]);
      assert.equal(named("export_legacy_feed")[0]?.active, false);
      assert.equal(
        jobs.some((job) => job.project_name === "smoothed" && /^job \d+$/.test(job.job_name)),
        true,
      );
    });

    await t.step("a second start says who runs and what to do", async () => {
      const second = await runScript("start", ["--root-dir", place.rootDir], place.env);
      assert.equal(second.code, 2);
      assert.match(second.stdout, /one is running \(process \d+\)[\s\S]*stop/);
    });

    await t.step("a taken port is named, with its holder and a way on", async () => {
      await withStackPlace(async (other) => {
        const gatewayPort = String(place.portOf("gateway"));
        const start = await runScript(
          "start",
          ["--root-dir", other.rootDir, "--gateway-port", gatewayPort],
          other.env,
        );
        assert.equal(start.code, 2);
        assert.match(
          start.stdout,
          new RegExp(`port ${gatewayPort} \\(gateway\\): process ${info.pid}[\\s\\S]*--port-base`),
        );
      });
    });

    // From here on pg_cron works by itself: a new job fails, a check by cron sees it, a delivery by cron tells of it.
    await hub`select cron.schedule('check-job-health', '* * * * *',
      $cmd$select monitoring.invoke_edge_function('check-job-health', '{"source":"cron"}')$cmd$)`;
    const smoothed = postgres(project("smoothed"), { max: 1, onnotice: () => {} });
    await smoothed`select cron.schedule('import_domains', '* * * * *', 'select missing_column')`;
    await smoothed.end();

    await t.step("a trigger by curl answers what was done", async () => {
      const args = [
        "-sS",
        "-X",
        "POST",
        `${info.functions_url}/check-job-health`,
        "-H",
        `apikey: ${info.secret_key}`,
      ];
      const { stdout, success } = await new Deno.Command("curl", { args }).output();
      assert.equal(success, true);
      const answer = JSON.parse(new TextDecoder().decode(stdout));
      assert.equal(answer.ok, true);
      assert.deepEqual(
        answer.projects.map((report: { project: string; status: string }) => [report.project, report.status])
          .sort(),
        [["blingsting", "ok"], ["scraping", "ok"], ["smoothed", "ok"], ["thordata", "ok"]],
      );
    });

    await t.step("a trigger by net.http_post reaches the function", async () => {
      const [row] = await hub<{ id: string }[]>`
        select net.http_post(
          url := ${`${info.functions_url}/discover-jobs`}, body := '{"project":"scraping"}',
          headers := jsonb_build_object('Content-Type', 'application/json', 'apikey', ${info.secret_key}::text),
          timeout_milliseconds := 10000) as id`;
      const answer = await pgNetAnswer(hub, row?.id ?? "");
      assert.equal(answer.status_code, 200, answer.error_msg ?? answer.content);
      assert.equal(JSON.parse(answer.content).ok, true);
    });

    await t.step("monitoring.invoke_edge_function() calls with the key of the Vault", async () => {
      const [row] = await hub<{ id: string }[]>`
        select monitoring.invoke_edge_function('send-alert', '{"source":"cron"}') as id`;
      assert.equal((await pgNetAnswer(hub, row?.id ?? "")).status_code, 202);
    });

    await t.step("a bad or missing key gets 401", async () => {
      for (const headers of [{ apikey: "sb_secret_wrong" }, { apikey: info.publishable_key }, {}]) {
        const { status, json } = await call(info, "check-job-health", { headers });
        assert.equal(status, 401);
        assert.equal(json.error?.code, "unauthorized");
      }
    });

    await t.step("a malformed body gets 400 and every bad field is named", async () => {
      const body = JSON.stringify({ project: "No Such Name", dry_run: "yes", projekt: 1 });
      const { status, json } = await call(info, "check-job-health", { body });
      assert.equal(status, 400);
      assert.match(json.error?.message ?? "", /project[\s\S]*dry_run[\s\S]*projekt/);
      assert.equal((await call(info, "check-job-health", { body: "{not json" })).status, 400);
    });

    await t.step("an unknown project gets 404, a GET 405", async () => {
      assert.equal((await call(info, "check-job-health", { body: '{"project":"nowhere"}' })).status, 404);
      const get = await fetch(`${info.functions_url}/check-job-health`);
      assert.equal(get.status, 405);
      await get.body?.cancel();
    });

    await t.step("a killed function process is replaced at the next call", async () => {
      const pids = await functionPids(place, "discover-jobs");
      assert.equal(pids.length, 1);
      for (const pid of pids) Deno.kill(pid, "SIGKILL");
      await waitFor(async () => !(await isProcessUp(pids[0] ?? 0)), {
        what: "the killed process to end",
        withinMs: 60_000,
      });
      const { status } = await waitFor(async () => {
        const answer = await call(info, "discover-jobs");
        return answer.status === 200 ? answer : undefined;
      }, { what: "a fresh process to answer", withinMs: 60_000 });
      assert.equal(status, 200);
      assert.notDeepEqual(await functionPids(place, "discover-jobs"), pids);
    });

    await t.step("by pg_cron alone: a job fails, the check sees it, the alert arrives", async () => {
      const alert = await waitFor(
        async () =>
          (await alertsOf(info)).find(({ text }) => /FAILED: import.domains in smoothed/.test(text ?? "")),
        { what: "the alert about the new failing job", withinMs: CRON_DEADLINE_MS, everyMs: 500 },
      );
      assert.equal(alert.accepted, true);
      assert.equal(alert.channel, "discord", "a job without an annotation is important");
      assert.match(alert.text ?? "", /missing_column|missing\\_column/);
      const runs = await hub<{ function_name: string }[]>`
        select distinct function_name from public.check_runs where source = 'cron' and status = 'complete'`;
      const fired = runs.map((run) => run.function_name);
      assert.equal(
        fired.includes("check-job-health") && fired.includes("send-alert"),
        true,
        `fired: ${fired}`,
      );
    });

    await t.step(
      "a stopped project is an error in the answer and an incident in the hub, never 0 jobs",
      async () => {
        assert.deepEqual(await stopAllClusters(place.rootDir, ["scraping"]), ["scraping"]);
        const { status, json } = await call(info, "check-job-health");
        assert.equal(status, 200, "the others were checked");
        const reports = json["projects"] as { project: string; status: string; error?: { code: string } }[];
        const scraping = reports.find((report) => report.project === "scraping");
        assert.deepEqual([scraping?.status, scraping?.error?.code], ["error", "unreachable"]);
        assert.equal(reports.filter((report) => report.status === "ok").length, 3);
        const incidents = await hub`
        select from public.incidents
        where subject_kind = 'project' and subject_id = 'scraping' and resolved_at is null`;
        assert.equal(incidents.length, 1);
      },
    );
  } finally {
    await hub.end();
    child.kill("SIGINT");
    assert.equal(await ended, 0);
    await assertNothingLeft(place);
  }
}
