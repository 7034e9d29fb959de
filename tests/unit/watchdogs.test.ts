/** Those outside who hear of each check. */
import assert from "node:assert/strict";
import { watched } from "../../supabase/functions/check-job-health/watched.ts";
import type { WatchdogReport } from "../../supabase/functions/check-job-health/watchdogs.ts";
import { AppError } from "../../supabase/functions/_shared/errors.ts";
import type { CheckRunEnd } from "../../supabase/functions/_shared/hub/check_runs.ts";
import type { Duties } from "../../supabase/functions/_shared/hub/duties.ts";
import { triggerInput } from "../../supabase/functions/_shared/http/trigger.ts";
import { createWatchdogs, type FakeWatchdogs } from "../fakes/watchdogs.ts";
import { recordingLog } from "../support/functions.ts";

const HOST = "https://watch.example.com";
const DUTIES: Duties = { schedule: "*/15 * * * *", time_zone: "GMT", alerts_silent_since: null };
const COMPLETE: CheckRunEnd = { status: "complete", counts: {}, error: null };

interface Setup {
  input?: Record<string, unknown>;
  env?: Record<string, string>;
  duties?: Duties | null;
  ending?: CheckRunEnd;
  check?: () => Promise<object>;
  fetch?: typeof fetch;
}

function secretsOf(fakes: FakeWatchdogs): Record<string, string> {
  return {
    DEADMAN_PING_URL: HOST + fakes.pingPath,
    SENTRY_DSN: `https://${fakes.publicKey}@watch.example.com${fakes.dsnPath}`,
  };
}

/** One check under both watchdogs. */
async function run(setup: Setup = {}) {
  const fakes = createWatchdogs();
  const log = recordingLog();
  const env = setup.env ?? secretsOf(fakes);
  const deps = {
    config: { outgoingAllowedHosts: [], secret: (name: string) => env[name] },
    log,
    fetch: setup.fetch ??
      ((url: URL, init: RequestInit) => fakes.handle(new Request(url, init))) as typeof fetch,
  };
  const order: string[] = [];
  const result = await watched(
    deps,
    triggerInput.parse(setup.input ?? { source: "cron" }),
    async (begin) => {
      begin(setup.duties === undefined ? DUTIES : setup.duties);
      order.push("recorded");
      return await (setup.check?.() ?? Promise.resolve({ jobs: 3 }));
    },
    () => setup.ending ?? COMPLETE,
  ).catch((error: unknown) => ({ thrown: error, watchdogs: [] as WatchdogReport[] }));
  const told = fakes.taken.map(({ watchdog, news }) => `${watchdog} ${news}`);
  return { result, told, taken: fakes.taken, log };
}

Deno.test("a complete check on schedule is told to both, its beginning before its end", async () => {
  const { result, told, taken } = await run();
  assert.deepEqual(told.filter((news) => news.startsWith("dead_man")), [
    "dead_man start",
    "dead_man success",
  ]);
  assert.deepEqual(told.filter((news) => news.startsWith("sentry")), ["sentry in_progress", "sentry ok"]);
  assert.deepEqual(result, {
    jobs: 3,
    watchdogs: [
      { watchdog: "dead_man", told: "complete", ok: true },
      { watchdog: "sentry", told: "complete", ok: true },
    ],
  });
  const checkIns = taken.filter(({ watchdog }) => watchdog === "sentry").map(({ body }) => body) as Record<
    string,
    unknown
  >[];
  assert.equal(new Set(checkIns.map((body) => body.check_in_id)).size, 1, "one check-in");
  assert.deepEqual(checkIns[0]?.monitor_config, {
    schedule: { type: "crontab", value: "*/15 * * * *" },
    timezone: "UTC",
    checkin_margin: 5,
    max_runtime: 10,
  });
});

Deno.test("a check by hand is told to the dead man's switch only; a look at one project or a dry run to nobody", async () => {
  assert.deepEqual((await run({ input: {} })).told, ["dead_man start", "dead_man success"]);
  for (const input of [{ project: "smoothed" }, { dry_run: true }, { source: "cron", dry_run: true }]) {
    const { told, result } = await run({ input });
    assert.deepEqual([told, result.watchdogs], [[], []]);
  }
});

Deno.test("an incomplete check is a failure, with a short reason", async () => {
  const error = `Cannot connect to project "scraping": no answer in time${"!".repeat(900)}`;
  const { told, taken } = await run({ ending: { status: "partial", counts: {}, error } });
  assert.deepEqual(told.toSorted(), [
    "dead_man fail",
    "dead_man start",
    "sentry error",
    "sentry in_progress",
  ]);
  const reason = String(taken.find(({ news }) => news === "fail")?.body);
  assert.match(reason, /^partial: Cannot connect to project "scraping"/);
  assert.ok(reason.length <= 500);
});

Deno.test("a check that broke is a failure, and is thrown on as it was", async () => {
  const down = new AppError(
    "hub_unreachable",
    "Cannot note the beginning: the hub's database does not answer",
  );
  const { result, taken } = await run({ check: () => Promise.reject(down) });
  assert.equal("thrown" in result && result.thrown, down);
  assert.equal(taken.find(({ news }) => news === "fail")?.body, `failed: ${down.message}`);
  const secret = await run({ check: () => Promise.reject(new Error("at password=hunter2")) });
  assert.ok(!JSON.stringify(secret.taken).includes("hunter2"));
});

Deno.test("a complete check is a failure to them while the hub's alerts do not go out", async () => {
  const duties = { ...DUTIES, alerts_silent_since: "2026-11-21T11:00:00+00:00" };
  const { told, taken } = await run({ duties });
  assert.ok(told.includes("dead_man fail") && told.includes("sentry error"));
  assert.equal(
    taken.find(({ news }) => news === "fail")?.body,
    "no alert goes out: send-alert has not come to an end since 2026-11-21T11:00:00+00:00",
  );
});

Deno.test("a schedule that Sentry would not read, or that is not known, leaves its monitor as it is", async () => {
  for (const schedule of ["30 seconds", "0 0 $ * *", "@hourly", null]) {
    const { taken, result } = await run({ duties: { ...DUTIES, schedule } });
    const [begun] = taken.filter(({ watchdog }) => watchdog === "sentry");
    assert.equal((begun?.body as Record<string, unknown>).monitor_config, undefined, String(schedule));
    assert.deepEqual(result.watchdogs.map(({ ok }) => ok), [true, true]);
  }
  assert.deepEqual((await run({ duties: null })).result.watchdogs.map(({ ok }) => ok), [true, true]);
});

Deno.test("watchdogs that cannot be reached, refuse or hang change nothing, and nothing tells their address", async (t) => {
  const hang = (_: URL, init: RequestInit) =>
    new Promise<Response>((_resolve, reject) => {
      init.signal?.addEventListener("abort", () => reject(init.signal?.reason));
      // what a deadline does, without waiting for it
      queueMicrotask(() => reject(new DOMException("Signal timed out.", "TimeoutError")));
    });
  const fetches: [what: string, fetch: unknown, error: RegExp][] = [
    [
      "unreachable",
      () => Promise.reject(new TypeError(`error sending request for url (${HOST}/ping/5f3b2c9e)`)),
      /^it could not be reached$/,
    ],
    ["hangs", hang, /^it did not answer in time$/],
    [
      "refuses",
      (url: URL) => Promise.resolve(new Response(`no ${url.href}`, { status: 404 })),
      /^it answered 404/,
    ],
  ];
  for (const [what, fetch, error] of fetches) {
    await t.step(what, async () => {
      const { result, log } = await run({ fetch: fetch as typeof globalThis.fetch });
      assert.equal("jobs" in result && result.jobs, 3);
      for (const report of result.watchdogs) {
        assert.equal(report.ok, false);
        assert.match(report.error ?? "", error);
      }
      const said = JSON.stringify([result, log.lines]);
      assert.ok(!/5f3b2c9e-7d1a|0123456789abcdef/.test(said), said);
      assert.equal(log.lines.filter(({ event }) => event === "watchdog not told").length, 4);
    });
  }
});

Deno.test("a watchdog that is set up wrong is said to be, by its secret's name, and the check goes on", async () => {
  const wrong: [env: Record<string, string>, error: RegExp][] = [
    [{ DEADMAN_PING_URL: "hc-ping.com/secret-part" }, /Cannot use the secret "DEADMAN_PING_URL"/],
    [{ DEADMAN_PING_URL: "http://169.254.169.254/secret-part" }, /only https is allowed/],
    [{ DEADMAN_PING_URL: "https://10.0.0.1/secret-part" }, /not on the public internet/],
    [{ SENTRY_DSN: "https://o1.ingest.sentry.io/1" }, /Cannot use the secret "SENTRY_DSN"/],
    [{ SENTRY_DSN: "https://secret-part@o1.ingest.sentry.io/" }, /Cannot use the secret "SENTRY_DSN"/],
    [{ SENTRY_CRONS_URL: "secret-part" }, /Cannot use the secret "SENTRY_CRONS_URL"/],
  ];
  for (const [env, error] of wrong) {
    const { result, log } = await run({ env });
    assert.equal("jobs" in result && result.jobs, 3);
    assert.match(result.watchdogs[0]?.error ?? "", error);
    assert.ok(!JSON.stringify([result, log.lines]).includes("secret-part"));
  }
  assert.deepEqual((await run({ env: {} })).result.watchdogs, []);
});

Deno.test("a ping keeps its URL's query, and Sentry's may be given whole or under a path", async () => {
  const asked: string[] = [];
  const fetch = ((url: URL) => {
    asked.push(url.href);
    return Promise.resolve(new Response(null, { status: 202 }));
  }) as typeof globalThis.fetch;
  await run({ fetch, env: { DEADMAN_PING_URL: `${HOST}/ping/key/hub/?create=1` } });
  assert.deepEqual(asked, [`${HOST}/ping/key/hub/start?create=1`, `${HOST}/ping/key/hub?create=1`]);
  asked.length = 0;
  await run({ fetch, env: { SENTRY_DSN: "https://abc:old@sentry.acme.com:8443/errors/7" } });
  assert.deepEqual(
    new Set(asked),
    new Set(["https://sentry.acme.com:8443/errors/api/7/cron/check-job-health/abc/"]),
  );
  asked.length = 0;
  const whole = "https://o1.ingest.sentry.io/api/7/cron/my-check/abc/";
  await run({ fetch, env: { SENTRY_CRONS_URL: whole, SENTRY_DSN: "https://abc@o1.ingest.sentry.io/7" } });
  assert.deepEqual(new Set(asked), new Set([whole]));
});
