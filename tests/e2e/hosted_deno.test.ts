/** The functions under the Deno that hosted Supabase's runtime is built on: they type-check, answer and do their work. */
import assert from "node:assert/strict";
import { type FunctionSettings, readFunctionsConfig } from "../../scripts/local/functions_config.ts";
import { type Gateway, startGateway } from "../../scripts/local/gateway.ts";
import { routeAlerts } from "../../scripts/local/hub_settings.ts";
import { listProcesses } from "../../scripts/local/processes.ts";
import { CONFIG_TOML } from "../../scripts/local/repository.ts";
import { functionEnvironment } from "../../scripts/local/stack_env.ts";
import type { SendAlertSummary } from "../../supabase/functions/send-alert/summary.ts";
import type { CollectionReport } from "../../supabase/functions/collect-metrics/run.ts";
import type { CheckReport } from "../../supabase/functions/check-job-health/run.ts";
import type { DiscoverReport } from "../../supabase/functions/discover-jobs/run.ts";
import type { ExportsReport } from "../../supabase/functions/export-runs/run.ts";
import { createOtlp, type FakeOtlp } from "../fakes/otlp.ts";
import { createSentry, type FakeSentry } from "../fakes/sentry.ts";
import { type Sink, startSink } from "../fakes/sink.ts";
import { drainedEvents, gzip } from "../support/drain.ts";
import { addJob, addRun, secondsIntoHour } from "../support/cron_rows.ts";
import { startEndpoint } from "../support/endpoint.ts";
import { npx } from "../support/npx.ts";
import { launcherCluster, type TestDatabase, testDatabase } from "../support/postgres.ts";
import { enableTls } from "../support/tls.ts";
import { waitFor } from "../support/wait_for.ts";

/** As npm names it. The runtime calls itself "compatible with Deno v2.1.4" when it starts. */
const HOSTED_DENO = "deno@2.1.4";
/** A registry may stand behind a company's certificate; this version trusts the system's only when told to. */
const DENO_ENV = { DENO_TLS_CA_STORE: "system", NO_COLOR: "1" };

const KEYS = { default: "sb_secret_default", monitor: "sb_secret_monitor", publishable: "sb_publishable_x" };

/** What a function is asked that does not take `dry_run` alone. */
const BODIES: Record<string, Record<string, unknown>> = {
  "export-runs": {},
  "send-report": { report: "daily", dry_run: true },
};

/** What the functions of a test work on. */
interface House {
  gateway: Gateway;
  hub: TestDatabase;
  sink: Sink;
  otlp: FakeOtlp;
  sentry: FakeSentry;
  /** Last argument of each function's process. */
  marker: string;
}

/**
 * Type-checks functions with their import map alone, as they are deployed; downloads what they import. The lock file
 * is of a version that this Deno cannot read.
 */
async function typeCheck(deno: string, functions: readonly FunctionSettings[]): Promise<void> {
  for (const [importMap, group] of Map.groupBy(functions, (settings) => settings.importMap)) {
    const entries = group.map((settings) => settings.entrypoint);
    const { success, stderr } = await new Deno.Command(deno, {
      args: ["check", "--no-config", "--no-lock", `--import-map=${importMap}`, ...entries],
      env: DENO_ENV,
      stdin: "null",
      signal: AbortSignal.timeout(120_000),
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
  }
}

/**
 * Serves the functions under another Deno, with three watched projects: `smoothed`, unencrypted on loopback; `scraping`,
 * over TLS; `blingsting`, the same server under a name that its certificate does not have.
 */
async function withFunctions(
  deno: string,
  functions: readonly FunctionSettings[],
  use: (house: House) => Promise<void>,
): Promise<void> {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await using tlsServer = await launcherCluster();
  const caCert = await enableTls(tlsServer);
  await routeAlerts(hub.sql);
  await tlsServer.sql`select cron.schedule('scrape_serp', '0 * * * *', 'select 1')`;
  await addRun(smoothed, await addJob(smoothed, { name: "sync_leads" }), {
    status: "failed",
    message: "ERROR:  boom",
    startedSecondsAgo: secondsIntoHour(),
  });

  const sink = await startSink();
  await using outside = startEndpoint();
  const [otlp, sentry] = [createOtlp(), createSentry(outside.url)];
  outside.answer((request) => (request.url.endsWith("/v1/traces") ? otlp : sentry).handle(request));
  const logDir = await Deno.makeTempDir({ prefix: "hosted_deno_test_" });
  const overTls = (host: string) => tlsServer.dbUrl.replace("127.0.0.1", host) + "?sslmode=require";
  const env = functionEnvironment({
    gatewayUrl: "http://127.0.0.1:9",
    hubDbUrl: hub.url,
    projectDbUrls: {
      smoothed: smoothed.url,
      scraping: overTls("localhost"),
      blingsting: overTls("127.0.0.1"),
    },
    keys: KEYS,
    sink,
  }, {
    POSTGRES_CA_CERT: caCert,
    OTLP_ENDPOINT: `${outside.url}/api/public/otel`,
    OTLP_HEADERS: otlp.headers,
    SENTRY_DSN: sentry.dsn,
    OUTGOING_ALLOWED_HOSTS: `${new URL(sink.url).host},${outside.host}`,
  });
  const marker = `--stack=${logDir}`;
  const gateway = await startGateway({ port: 0, functions, env, logDir, deno, marker });
  try {
    await use({ gateway, hub, sink, otlp, sentry, marker });
  } finally {
    await gateway.stop();
    await sink.close();
    await Deno.remove(logDir, { recursive: true });
  }
}

async function call<Answer extends object>(
  { gateway }: House,
  name: string,
  body: Record<string, unknown>,
  headers: Record<string, string> = { apikey: KEYS.monitor },
): Promise<{ status: number; json: Answer }> {
  const request = { method: "POST", headers, body: JSON.stringify(body) };
  const response = await fetch(`${gateway.url}/functions/v1/${name}`, request);
  return { status: response.status, json: await response.json() };
}

Deno.test("the functions run under the hosted runtime's Deno", async (t) => {
  const functions = await readFunctionsConfig(CONFIG_TOML);
  const where = ["eval", "--no-config", "--no-lock", "console.log(Deno.execPath())"];
  const deno = (await npx(HOSTED_DENO, where)).trim();
  await typeCheck(deno, functions);
  // copied into projects whose Deno is the hosted one too
  const wrapper = new URL("../../supabase/functions/with_execution_log.ts", import.meta.url).pathname;
  const [first] = functions;
  if (first !== undefined) await typeCheck(deno, [{ ...first, entrypoint: wrapper }]);

  await withFunctions(deno, functions, async (house) => {
    const { hub, sink, marker } = house;

    await t.step(
      "every function answers 401 without a key and 200 with one; a webhook knows no key",
      async () => {
        for (const { name } of functions) {
          if (name === "receive-heartbeat") {
            // its key is a token in the path
            const ping = await fetch(`${house.gateway.url}/functions/v1/${name}/none`, { method: "POST" });
            assert.deepEqual([ping.status, await ping.text()], [404, "not found"]);
            continue;
          }
          if (name === "badge") {
            const badge = await fetch(`${house.gateway.url}/functions/v1/${name}/${"0".repeat(32)}.svg`);
            assert.deepEqual([badge.status, await badge.text()], [404, "not found"]);
            continue;
          }
          if (name === "status") {
            const ask = (headers: HeadersInit) =>
              fetch(`${house.gateway.url}/functions/v1/${name}`, { headers });
            const answers = [await ask({}), await ask({ apikey: KEYS.monitor })];
            assert.deepEqual(answers.map(({ status }) => status), [401, 200]);
            await Promise.all(answers.map((answer) => answer.body?.cancel()));
            continue;
          }
          const refused = await call<{ error: { code: string } }>(house, name, {}, {});
          assert.deepEqual([refused.status, refused.json.error.code], [401, "unauthorized"], name);
          if (name === "record-execution" || name === "receive-log-drain") {
            assert.equal((await call(house, name, {})).status, 401, `${name} takes tokens of its own`);
            continue;
          }
          if (name.endsWith("-webhook")) {
            const headers = {
              apikey: KEYS.monitor,
              "x-telegram-bot-api-secret-token": "",
              "x-pagerduty-signature": "v1=",
            };
            assert.equal((await call(house, name, {}, headers)).status, 401, name);
            continue;
          }
          const body = BODIES[name] ?? { dry_run: true };
          const { status, json } = await call<{ ok: boolean }>(house, name, body);
          assert.deepEqual([status, json.ok], [200, true], `${name}: ${JSON.stringify(json)}`);
        }
        const served = (await listProcesses()).filter(({ args }) => args.at(-1) === marker);
        assert.deepEqual(served.map(({ args }) => args[0]), functions.map(() => deno));
      },
    );

    await t.step(
      "discover-jobs lists what is there, over TLS too, and refuses an untrusted name",
      async () => {
        const { status, json } = await call<DiscoverReport>(house, "discover-jobs", {});
        assert.equal(status, 200);
        assert.deepEqual(json.projects.map(({ project, status, jobs }) => [project, status, jobs]), [
          ["blingsting", "error", 0],
          ["scraping", "ok", 1],
          ["smoothed", "ok", 1],
          ["thordata", "ok", 0],
        ]);
        assert.match(json.projects[0]?.errors[0]?.message ?? "", /certificate is not trusted/);
        const rows = await hub.sql`select project_name, job_name from job_inventory order by 1`;
        assert.deepEqual(rows.map((row) => Object.values(row)), [
          ["scraping", "scrape_serp"],
          ["smoothed", "sync_leads"],
        ]);
        await hub.sql`update job_inventory set criticality = 'critical' where job_name = 'sync_leads'`;
      },
    );

    await t.step("check-job-health finds the failure and opens its incident", async () => {
      const { status, json } = await call<CheckReport>(house, "check-job-health", {});
      assert.deepEqual([status, json.failed, json.errors], [200, 1, 1]);
      const incidents = await hub.sql`select project_name, code, severity from incidents order by 1`;
      assert.deepEqual(incidents.map((row) => Object.values(row)), [
        ["blingsting", "unreachable", "important"],
        ["smoothed", "failed", "critical"],
      ]);
    });

    await t.step("send-alert delivers what is owed, each to its vendor", async () => {
      const { status, json } = await call<SendAlertSummary>(house, "send-alert", {});
      assert.deepEqual([status, json.sent], [200, 2]);
      const accepted = sink.deliveries().map(({ channel, accepted }) => [channel, accepted]).sort();
      assert.deepEqual(accepted, [["discord", true], ["telegram", true]]);
    });

    await t.step("collect-metrics asks every project that it can reach", async () => {
      const { status, json } = await call<CollectionReport>(house, "collect-metrics", {});
      assert.deepEqual([status, json.errors, json.failed, json.incidents_opened], [200, 1, 0, 0]);
      const [row] = await hub.sql`select count(distinct project_name)::integer as n from system_metrics`;
      assert.equal(row?.n, 3);
    });

    await t.step("export-runs sends what was checked, and Sentry hears where it cannot", async () => {
      const { status, json } = await call<ExportsReport>(house, "export-runs", {});
      assert.deepEqual([status, json.exports.map(({ error }) => error)], [200, [null, null]]);
      assert.ok(house.otlp.taken.some(({ name, status }) => name === "sync_leads" && status.code === 2));
      await hub.sql`alter table monitoring.export_state rename to export_state_elsewhere`;
      const broken = await call<ExportsReport>(house, "export-runs", {});
      await hub.sql`alter table monitoring.export_state_elsewhere rename to export_state`;
      assert.match(broken.json.exports[0]?.error ?? "", /42P01/);
      await waitFor(() => Promise.resolve(house.sentry.taken.length > 0), {
        what: "the event",
        withinMs: 60_000,
      });
      assert.match(JSON.stringify(house.sentry.taken[0]?.payload), /AppError hub_failed/);
    });

    await t.step("record-execution and receive-log-drain take what a project reports, gzip too", async () => {
      const tokenOf = async (purpose: string) => {
        const [row] = await hub.sql`select monitoring.create_report_token('smoothed', ${purpose}) as token`;
        return { "x-report-token": row?.token };
      };
      const at = new Date().toISOString();
      const ended = { status: "success", ended_at: at, duration_ms: 1, http_status: 200, error: null };
      const execution = { id: crypto.randomUUID(), function: "sync-leads", started_at: at, ...ended };
      const report = { executions: [execution] };
      const recorded = await call<{ recorded: number }>(
        house,
        "record-execution",
        report,
        await tokenOf("executions"),
      );
      assert.deepEqual([recorded.status, recorded.json.recorded], [200, 1]);
      const batch = await gzip(JSON.stringify(drainedEvents({ count: 10, from: Date.now() - 60_000 })));
      const drained = await fetch(`${house.gateway.url}/functions/v1/receive-log-drain`, {
        method: "POST",
        headers: await tokenOf("log_drain"),
        body: batch,
      });
      assert.deepEqual([drained.status, (await drained.json()).counted], [200, 10]);
    });

    await t.step("a call by cron is answered at once, and its work goes on", async () => {
      const { status } = await call(house, "check-job-health", { source: "cron" });
      assert.equal(status, 202);
      await waitFor(
        async () => (await hub.sql`select from check_runs where source = 'cron' and ended_at is not null`)[0],
        { what: "the check to end", withinMs: 60_000 },
      );
    });
  });
});
