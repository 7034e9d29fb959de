/** The API against a real hub: reads and annotations by SQL, actions through the functions as they are deployed. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Gateway } from "../../scripts/local/gateway.ts";
import { routeAlerts } from "../../scripts/local/hub_settings.ts";
import { REFUSING_HOST } from "../support/endpoint.ts";
import { functionEnvironment } from "../../scripts/local/stack_env.ts";
import { annotations } from "../../scripts/monitor/annotate_job.ts";
import { type Connection, MonitorError, MonitoringAPI } from "../../scripts/monitoring_api.ts";
import { type Sink, startSink } from "../fakes/sink.ts";
import { addJob, addRun, secondsIntoHour } from "../support/cron_rows.ts";
import { serveFunctions } from "../support/gateway.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

const KEYS = { default: "sb_secret_default", monitor: "sb_secret_monitor", publishable: "sb_publishable_x" };
const SCRIPT = fileURLToPath(new URL("../../scripts/monitor.ts", import.meta.url));

function connectionTo(hub: TestDatabase, url = "http://127.0.0.1:9", secretKey = KEYS.monitor): Connection {
  const origin = { kind: "given" as const, text: "a test" };
  return { url, secretKey, hubDatabaseUrl: hub.url, caCert: null, origin };
}

async function refusal(work: Promise<unknown>): Promise<MonitorError> {
  const error = await work.then(() => null, (thrown) => thrown);
  assert.ok(error instanceof MonitorError, String(error));
  return error;
}

/** A row of the inventory as discovery writes it; answers its id. */
async function addInventoryJob(
  hub: TestDatabase,
  name: string,
  { project = "smoothed", user = "postgres", type = "pg_cron", removed = false } = {},
): Promise<string> {
  const [row] = await hub.sql<{ id: string }[]>`
    insert into job_inventory (project_name, job_type, job_name, job_user, schedule, removed_at)
    values (${project}, ${type}, ${name}, ${type === "pg_cron" ? user : null}, '0 * * * *',
            ${removed ? hub.sql`now()` : null}) returning id`;
  return row?.id ?? "";
}

/** Functions over HTTP, a sink for their alerts, a hub, and one watched project. */
async function withFunctions(
  body: (house: { hub: TestDatabase; smoothed: TestDatabase; gateway: Gateway; sink: Sink }) => Promise<void>,
): Promise<void> {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  const sink = await startSink();
  const logDir = await Deno.makeTempDir();
  const env = functionEnvironment(
    {
      gatewayUrl: "http://127.0.0.1:9",
      hubDbUrl: hub.url,
      projectDbUrls: { smoothed: smoothed.url },
      keys: KEYS,
      sink,
    },
    {},
  );
  const gateway = await serveFunctions({ env, logDir });
  try {
    await routeAlerts(hub.sql);
    await body({ hub, smoothed, gateway, sink });
  } finally {
    await gateway.stop();
    await sink.close();
    await Deno.remove(logDir, { recursive: true });
  }
}

Deno.test("the loop through the API: connect, audit, annotate, check, incidents, history, alert", async (t) => {
  await withFunctions(async ({ hub, smoothed, gateway, sink }) => {
    const jobId = await addJob(smoothed, { name: "sync_leads" });
    await addRun(smoothed, jobId, {
      status: "failed",
      message: "ERROR:  boom at postgres://app:hunter2secret@db.test/app",
      startedSecondsAgo: secondsIntoHour(),
      seconds: 1,
    });
    await using monitor = new MonitoringAPI(connectionTo(hub, gateway.url));

    await t.step("testConnection() is fine with the named key, without a word about secrets", async () => {
      const report = await monitor.testConnection();
      assert.deepEqual([report.ok, report.functions.error, report.hub.error], [true, null, null]);
      assert.doesNotMatch(JSON.stringify(report), /sb_secret/);
    });

    await t.step("an audit's dry run finds and writes nothing, the audit keeps", async () => {
      const dry = await monitor.auditProject("smoothed", { dryRun: true });
      assert.deepEqual([dry.jobs, (await monitor.listProjects()).length], [1, 0]);
      const { projects } = await monitor.auditAllProjects();
      assert.deepEqual(projects.map(({ project, jobs }) => [project, jobs]), [["smoothed", 1], [
        "thordata",
        0,
      ]]);
      const [job] = await monitor.listJobs({ project: "smoothed" });
      assert.deepEqual([job?.job_name, job?.job_user, job?.status], ["sync_leads", "postgres", null]);
    });

    await t.step("checkHealth() finds the failure, as critical as the job was annotated", async () => {
      await monitor.updateJob("sync_leads", { criticality: "critical", owner: "data team" });
      assert.equal((await monitor.checkHealth("smoothed", { dryRun: true })).incidents_opened, 0);
      const { failed, incidents_opened } = await monitor.checkHealth();
      assert.deepEqual([failed, incidents_opened], [1, 1]);
      const [incident, ...others] = await monitor.listIncidents();
      assert.deepEqual(others, []);
      assert.deepEqual([incident?.job_name, incident?.severity, incident?.alerts], [
        "sync_leads",
        "critical",
        ["due"],
      ]);
      assert.equal((await monitor.listJobs())[0]?.status, "failed");
      assert.notEqual(await monitor.lastCheckAt(), null);
    });

    await t.step("getJobHistory() tells the run that failed, and what it said", async () => {
      const { runs, successes_kept } = await monitor.getJobHistory({
        project: "smoothed",
        job: "sync_leads",
      });
      assert.equal(successes_kept, true);
      assert.deepEqual(runs.map(({ status, error_message }) => [status, error_message]), [[
        "failed",
        "ERROR:  boom at postgres://app:***@db.test/app",
      ]]);
    });

    await t.step("quickStart() tells it all at once", async () => {
      const { connection, audit, projects, incidents } = await monitor.quickStart();
      assert.deepEqual([connection.ok, audit?.jobs, incidents.length], [true, 1, 1]);
      assert.deepEqual(projects.map(({ name, failed }) => [name, failed]), [["smoothed", 1], [
        "thordata",
        0,
      ]]);
    });

    await t.step("testAlert() goes through a channel, or the row of that name", async () => {
      assert.equal((await monitor.testAlert("discord")).sent, 2);
      assert.equal((await monitor.testAlert("discord-low")).sent, 1);
      assert.equal(sink.deliveries().length, 3);
      const { code, hints } = await refusal(monitor.testAlert("slack"));
      assert.deepEqual([code, hints], ["not_found", ["It has: discord, discord-low, telegram"]]);
    });

    await t.step("a project that nobody watches is refused in the function's own words", async () => {
      const { code, message, remoteCode } = await refusal(monitor.checkHealth("nope"));
      assert.deepEqual([code, remoteCode], ["not_found", "not_found"]);
      assert.match(message, /Unknown project "nope"; watched are: smoothed, thordata/);
    });

    await t.step("a bad request shows every fault that the function names", async () => {
      const { code, message } = await refusal(monitor.checkHealth("No!"));
      assert.equal(code, "invalid_value");
      assert.match(message, /project: must be lower case letters/);
    });

    await t.step("the default key is taken too, a wrong one is refused and never told", async () => {
      await using other = new MonitoringAPI(connectionTo(hub, gateway.url, KEYS.default));
      assert.equal((await other.testConnection()).ok, true);
      await using wrong = new MonitoringAPI(connectionTo(hub, gateway.url, "sb_secret_wrong"));
      const error = await refusal(wrong.auditAllProjects());
      assert.deepEqual([error.code, error.remoteCode], ["unauthorized", "unauthorized"]);
      assert.doesNotMatch(JSON.stringify(error) + error.message, /sb_secret_wrong/);
    });

    await t.step("doctor() finds what is not switched on, and a row whose secret is missing", async () => {
      const report = await monitor.doctor();
      const said = (status: string) =>
        report.findings.filter((one) => one.status === status).map(({ area, message }) =>
          `${area}: ${message}`
        );
      const own = await hub.sql`select job_name from monitoring.schedules order by job_name`;
      assert.deepEqual(said("fail").filter((line) => !line.startsWith("runs")), [
        `schedules: ${own.map(({ job_name }) => job_name).join(", ")} are not scheduled`,
        "schedules: The Vault has no project_url: the schedules call nobody",
        "schedules: The Vault has no monitor_secret_key: the schedules are refused",
      ]);
      const fine = said("ok").join("\n");
      for (
        const line of [
          /^connection: The functions: /m,
          /^schema: All \d+ migrations are applied/m,
          /^projects: smoothed can be read, 1 job$/m,
          /^alerts: Row "telegram" \(telegram\) takes critical alerts/m,
          /^alerts: Every severity of every project has a row/m,
          /^outbox: Nothing is late/m,
        ]
      ) assert.match(fine, line);
      assert.ok(report.findings.every(({ status, remedy }) => status === "ok" || remedy !== ""));
      await hub.sql`update alert_config set bot_token = 'env:NO_SUCH' where channel = 'telegram'`;
      const broken = (await monitor.doctor()).findings.find(({ message }) => message.includes("NO_SUCH"));
      assert.deepEqual([broken?.area, broken?.status], ["alerts", "fail"]);
      assert.match(broken?.remedy ?? "", /Set the secret/);
      await hub.sql`update alert_config set bot_token = 'env:TELEGRAM_BOT_TOKEN' where channel = 'telegram'`;
      assert.doesNotMatch(JSON.stringify(report), /sb_secret_monitor|discord\.com|webhooks\//);
    });

    await t.step(
      "doctor() finds that the functions refuse the key of the schedules, and never tells it",
      async () => {
        await hub.sql`select vault.create_secret('sb_secret_stale', 'monitor_secret_key')`;
        const schedules = async () =>
          JSON.stringify((await monitor.doctor()).findings.filter(({ area }) => area === "schedules"));
        assert.match(await schedules(), /The functions refuse the key that the schedules call them with/);
        assert.doesNotMatch(await schedules(), /sb_secret_stale/);
        await hub.sql`
        select vault.update_secret((select id from vault.secrets where name = 'monitor_secret_key'), ${KEYS.monitor})`;
        assert.match(await schedules(), /The functions take the key that the schedules call them with/);
        await hub.sql`delete from vault.secrets where name = 'monitor_secret_key'`;
      },
    );

    await t.step("doctor() finds a subscriber that has not got the report, or cannot get it", async () => {
      const reports = async () =>
        (await monitor.doctor()).findings.filter(({ area }) => area === "reports").map((
          { status, message },
        ) => `${status}: ${message.replace(/\d{4}-\d\d-\d\d/, "<day>")}`);
      assert.deepEqual(await reports(), ["ok: Nobody has subscribed to one: docs/REPORTS.md"]);
      await hub.sql`
        with reader as (
          insert into alert_config (name, channel, webhook_url, events, updated_at)
          values ('readers', 'discord', 'env:DISCORD_WEBHOOK_URL', '{}', now() - interval '9 days') returning id)
        insert into report_subscriptions (report, alert_config_id, updated_at)
        select 'daily', id, now() - interval '9 days' from reader`;
      assert.deepEqual(await reports(), [
        'fail: Row "readers" (discord) has not got the daily report of <day>',
      ]);
      assert.equal((await monitor.sendReport("daily")).queued, 1);
      assert.deepEqual(await reports(), [
        'ok: Row "readers" (discord) is about to get the daily report of <day>',
      ]);
      await hub.sql`update alert_config set enabled = false where name = 'readers'`;
      assert.deepEqual(await reports(), [
        'fail: Row "readers" (discord) cannot get the daily report: it is disabled',
      ]);
      await hub.sql`delete from alert_config where name = 'readers'`;
    });

    await t.step("the command line tells the same by exit code and JSON", async () => {
      const run = (...args: string[]) => runScript(hub, gateway.url, args);
      assert.equal((await run("jobs")).code, 0);
      const failing = await run("jobs", "--fail", "--json");
      assert.equal(failing.code, 1);
      assert.equal(JSON.parse(failing.stdout)[0].job_name, "sync_leads");
      assert.equal((await run("check", "--fail")).code, 1);
      assert.equal((await run("incidents", "--fail")).code, 1);
      assert.equal((await run("audit", "--fail")).code, 0);
      assert.equal((await run("doctor")).code, 1);
      const silenced = await run(
        ..."silence smoothed sync_* --for 2h --reason move --by dana --json".split(" "),
      );
      assert.deepEqual(JSON.parse(silenced.stdout).jobs, ["smoothed/sync_leads"]);
      const { id } = JSON.parse(silenced.stdout).silence;
      const [open] = JSON.parse((await run("incidents", "--json")).stdout);
      assert.deepEqual([open.silenced.by, open.code], ["dana", "failed"]);
      assert.equal((await run("unsilence", id.slice(0, 8))).code, 0);
      assert.match(
        (await run("ack", open.id.slice(0, 8), "--by", "dana")).stdout,
        /^✓ Acknowledged: failed: sync_leads/,
      );
      const test = await run("project", "test");
      assert.match(test.stdout, /SUPABASE_URL, MONITOR_SECRET_KEY, SUPABASE_DB_URL from the environment/);
      assert.deepEqual([test.code, test.stderr], [0, ""]);
    });
  });
});

async function runScript(hub: TestDatabase, url: string, args: string[]) {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", SCRIPT, ...args, "--env"],
    env: { SUPABASE_URL: url, MONITOR_SECRET_KEY: KEYS.monitor, SUPABASE_DB_URL: hub.url },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
}

Deno.test("updateJob() writes what is given, clears with empty text, and leaves the rest", async () => {
  await using hub = await testDatabase("hub");
  await addInventoryJob(hub, "sync_leads");
  await using monitor = new MonitoringAPI(connectionTo(hub));
  await monitor.updateJob("sync_leads", {
    ...{
      description: "Copies leads",
      success_criteria: "rows move",
      criticality: "critical",
      owner: "data team",
    },
    ...{
      runbook_url: "https://wiki.example",
      grace_minutes: 2.5,
      max_runtime_minutes: 10,
      failure_threshold: 3,
      min_rows: 1,
    },
  });
  const { job, warnings } = await monitor.updateJob("sync_leads", { owner: " ", grace_minutes: null });
  assert.deepEqual(
    [
      job.description,
      job.owner,
      job.grace_minutes,
      job.max_runtime_minutes,
      job.failure_threshold,
      job.min_rows,
      warnings,
    ],
    ["Copies leads", null, null, 10, 3, 1, []],
  );
});

Deno.test("updateJob() knows every column that the inventory keeps for people", async () => {
  await using hub = await testDatabase("hub");
  const columns = await hub.sql<{ name: string }[]>`
    select attname as name from pg_attribute
    where attrelid = 'public.job_inventory'::regclass and col_description(attrelid, attnum) like 'For you:%'`;
  assert.deepEqual(
    columns.map(({ name }) => name).toSorted(),
    annotations.keyof().options.toSorted(),
  );
});

Deno.test("updateJob() says what is expected of an edge function, and listJobs() shows it", async () => {
  await using hub = await testDatabase("hub");
  await addInventoryJob(hub, "sync-leads", { type: "edge_function" });
  await addInventoryJob(hub, "sync-leads");
  await using monitor = new MonitoringAPI(connectionTo(hub));
  const written = {
    health_check_url: "https://smoothed.example/health",
    health_check_header: "apikey: vault:smoothed_key",
    health_check_status: "200, 404",
    health_check_body: "ok",
    health_check_timeout_ms: 2_000,
    health_check_max_ms: 800,
    max_error_percent: 2.5,
    min_invocations: 20,
    max_silence_minutes: 90,
  };
  await monitor.updateJob({ name: "sync-leads", type: "edge_function" }, written);
  const jobs = await monitor.listJobs({});
  const shown = Object.keys(written) as (keyof typeof written)[];
  const [ofCron, ofFunction] = ["pg_cron", "edge_function"].map((type) => {
    const job = jobs.find(({ job_type }) => job_type === type);
    return Object.fromEntries(shown.map((column) => [column, job?.[column]]));
  });
  assert.deepEqual(ofFunction, written);
  assert.deepEqual(ofCron, Object.fromEntries(shown.map((column) => [column, null])));
  const { message } = await refusal(
    monitor.updateJob({ name: "sync-leads", type: "edge_function" }, { max_error_percent: 101 }),
  );
  assert.match(message, /max_error_percent is more than 0 and at most 100/);
});

Deno.test("updateJob() says in a sentence what a column does not take", async () => {
  await using hub = await testDatabase("hub");
  await addInventoryJob(hub, "sync_leads");
  await using monitor = new MonitoringAPI(connectionTo(hub));
  const said = async (annotations: Parameters<typeof monitor.updateJob>[1]) => {
    const { code, message } = await refusal(monitor.updateJob("sync_leads", annotations));
    return [code, message.replace('Cannot annotate "sync_leads": ', "")];
  };
  assert.deepEqual(await said({ criticality: "urgent" }), [
    "invalid_value",
    "criticality is critical, important or low",
  ]);
  assert.deepEqual(await said({ grace_minutes: -1 }), [
    "invalid_value",
    "grace_minutes is 0 to 44640 (31 days)",
  ]);
  assert.deepEqual(await said({ runbook_url: "wiki" }), ["invalid_value", "runbook_url is an http(s) URL"]);
  assert.deepEqual(await said({ failure_threshold: 0.5 }), [
    "invalid_value",
    "failure_threshold must be a whole number",
  ]);
  assert.deepEqual(await said({ success_check_sql: "drop table x" }), [
    "invalid_value",
    "success_check_sql is a select",
  ]);
  assert.equal((await said({}))[0], "usage");
});

Deno.test("updateJob() needs to know which job, and names the candidates", async () => {
  await using hub = await testDatabase("hub");
  for (const options of [{}, { user: "crm_app" }, { project: "scraping" }, { type: "edge_function" }]) {
    await addInventoryJob(hub, "sync", options);
  }
  await addInventoryJob(hub, "sync", { project: "gone", removed: true });
  await using monitor = new MonitoringAPI(connectionTo(hub));
  const update = (choice: Parameters<typeof monitor.updateJob>[0]) =>
    monitor.updateJob(choice, { owner: "ada" });
  const { code, candidates, hints } = await refusal(update("sync"));
  assert.deepEqual([code, candidates, hints], [
    "ambiguous",
    [
      "sync in scraping as postgres",
      "sync in smoothed (edge_function)",
      "sync in smoothed as crm_app",
      "sync in smoothed as postgres",
    ],
    ["Say which one with --project and --type"],
  ]);
  assert.equal((await update({ name: "sync", project: "scraping" })).job.owner, "ada");
  assert.equal((await update({ name: "sync", type: "edge_function" })).job.job_type, "edge_function");
  assert.equal(
    (await update({ name: "sync", project: "gone" })).job.project_name,
    "gone",
    "kept for its return",
  );
  const misspelt = await refusal(update("snyc"));
  assert.deepEqual([misspelt.code, misspelt.candidates.length], ["not_found", 4]);
});

Deno.test("a channel that alert_config does not have is written, with a warning", async () => {
  await using hub = await testDatabase("hub");
  await addInventoryJob(hub, "sync_leads");
  await routeAlerts(hub.sql);
  await using monitor = new MonitoringAPI(connectionTo(hub));
  const { job, warnings } = await monitor.updateJob("sync_leads", { alert_channel: "on call" });
  assert.equal(job.alert_channel, "on call");
  assert.match(warnings[0] ?? "", /no row for "on call".*it knows: discord, discord-low, telegram/);
  assert.deepEqual((await monitor.updateJob("sync_leads", { alert_channel: "discord-low" })).warnings, []);
});

Deno.test("names that nobody knows are refused, with those that were probably meant", async () => {
  await using hub = await testDatabase("hub");
  await addInventoryJob(hub, "sync_leads");
  await using monitor = new MonitoringAPI(connectionTo(hub));
  for (
    const work of [
      () => monitor.listJobs({ project: "smothed" }),
      () => monitor.listIncidents({ project: "smothed" }),
      () => monitor.listSilences({ project: "smothed" }),
      () => monitor.getJobHistory({ project: "smothed" }),
    ]
  ) {
    const { code, candidates } = await refusal(work());
    assert.deepEqual([code, candidates], ["not_found", ["smoothed"]]);
  }
  const history = await refusal(monitor.getJobHistory({ project: "smoothed", job: "sync_lead" }));
  assert.deepEqual([history.code, history.candidates], ["not_found", ["sync_leads"]]);
  assert.deepEqual((await monitor.getJobHistory({ project: "smoothed", job: "sync_leads" })).runs, []);
});

Deno.test("jobs that are gone are listed only where they are asked for", async () => {
  await using hub = await testDatabase("hub");
  await addInventoryJob(hub, "here");
  await addInventoryJob(hub, "gone", { removed: true });
  await using monitor = new MonitoringAPI(connectionTo(hub));
  const names = async (which: "existing" | "all") =>
    (await monitor.listJobs({ which })).map((job) => job.job_name);
  assert.deepEqual([await names("existing"), await names("all")], [["here"], ["gone", "here"]]);
});

Deno.test("a resolved incident is listed with how it ended, and the states of its alerts", async () => {
  await using hub = await testDatabase("hub");
  const id = await addInventoryJob(hub, "sync_leads");
  await hub.sql`
    insert into incidents (project_name, subject_kind, subject_id, code, severity, summary, job_inventory_id, resolved_at,
                           resolution)
    values ('smoothed', 'job', ${id}, 'failed', 'low', 'the last run failed', ${id}, now(), 'recovered')`;
  await hub.sql`
    insert into alert_deliveries (event, state, last_error) values ('opened', 'unroutable', 'no row takes it')`;
  await hub.sql`insert into delivery_incidents select d.id, i.id from alert_deliveries d, incidents i`;
  await using monitor = new MonitoringAPI(connectionTo(hub));
  assert.deepEqual(await monitor.listIncidents(), []);
  const [incident] = await monitor.listIncidents({ which: "all" });
  assert.deepEqual([incident?.resolution, incident?.alerts, incident?.job_name], [
    "recovered",
    ["unroutable"],
    "sync_leads",
  ]);
});

Deno.test("a hub or functions that do not answer are named, with where the connection was read from", async () => {
  await using monitor = new MonitoringAPI({
    url: `http://${REFUSING_HOST}`,
    secretKey: KEYS.monitor,
    hubDatabaseUrl: `postgresql://u:geheim@${REFUSING_HOST}/postgres`,
    caCert: null,
    origin: { kind: "given", text: "a test" },
  });
  const { ok, functions, hub } = await monitor.testConnection();
  assert.equal(ok, false);
  assert.equal(
    functions.error?.message,
    `Cannot call "send-alert" at http://${REFUSING_HOST}: connection refused; is it up?`,
  );
  assert.match(hub.error?.message ?? "", /in the hub's database: connection refused/);
  assert.doesNotMatch(JSON.stringify([functions, hub]), /geheim/);
  assert.equal((await refusal(monitor.listJobs())).origin, "a test");
});

Deno.test("a database without the monitor's tables says what to do", async () => {
  await using project = await testDatabase("project");
  await using monitor = new MonitoringAPI(connectionTo(project));
  const { message } = await refusal(monitor.listJobs());
  assert.match(message, /the monitor's tables are missing; apply the migrations/);
});

Deno.test("a hub that is older than the command line says what to do", async () => {
  await using hub = await testDatabase("hub");
  await hub.sql`alter table job_inventory drop column runbook_url cascade`;
  await using monitor = new MonitoringAPI(connectionTo(hub));
  const { message } = await refusal(monitor.listJobs());
  assert.match(
    message,
    /runbook_url does not exist \(42703\); the hub is older than .* apply the migrations/,
  );
});

Deno.test("an answer that is not as agreed is an error, not a half result", async () => {
  await using hub = await testDatabase("hub");
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    if (request.url.endsWith("check-job-health")) return Response.json({ ok: true, jobs: "many" });
    if (request.url.endsWith("discover-jobs")) {
      return Response.json({ code: "BOOT_ERROR", message: "Function failed to start" }, { status: 503 });
    }
    return new Response(`bad gateway for ${request.headers.get("apikey")}`, { status: 502 });
  });
  await using monitor = new MonitoringAPI(connectionTo(hub, `http://127.0.0.1:${server.addr.port}`));
  await routeAlerts(hub.sql);
  assert.match(
    (await refusal(monitor.checkHealth())).message,
    /Cannot read the answer of "check-job-health"/,
  );
  const boot = await refusal(monitor.auditAllProjects());
  assert.deepEqual([boot.code, boot.remoteCode], ["function_failed", "BOOT_ERROR"]);
  assert.equal(boot.message, 'Cannot call "discover-jobs": 503, Function failed to start');
  assert.equal(
    (await refusal(monitor.testAlert("discord"))).message,
    'Cannot call "send-alert": 502, bad gateway for sb_secret_…',
  );
  await server.shutdown();
});

Deno.test("a project that cannot be replayed does not keep the others from it, and is an error by itself", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await addRun(smoothed, await addJob(smoothed, { name: "steady" }));
  await hub.sql`insert into monitored_projects (name) values ('smoothed'), ('stopped')`;
  await using monitor = new MonitoringAPI({
    ...connectionTo(hub),
    projectUrls: { smoothed: smoothed.url, stopped: "postgresql://postgres:x@127.0.0.1:9/postgres" },
  });
  const replays = (await monitor.replay({ days: 1 })).filter(({ project }) => project !== "thordata");
  assert.deepEqual(
    replays.map((one) =>
      "error" in one ? [one.project, "error"] : [one.project, one.jobs.map(({ job_name }) => job_name)]
    ),
    [["smoothed", ["steady"]], ["stopped", "error"]],
  );
  assert.equal((await refusal(monitor.replay({ days: 1, project: "stopped" }))).code, "unreachable");
});
