/** What Sentry hears of our functions' errors. */
import assert from "node:assert/strict";
import { AppError } from "../../supabase/functions/_shared/errors.ts";
import { reportingLog } from "../../supabase/functions/_shared/http/error_reports.ts";
import { serveFunction } from "../../supabase/functions/_shared/http/serve.ts";
import { sendFailure } from "../../supabase/functions/_shared/http/sentry.ts";
import { triggerInput } from "../../supabase/functions/_shared/http/trigger.ts";
import { failureFields } from "../../supabase/functions/_shared/log.ts";
import {
  failureEnvelope,
  jobSlug,
  monitorConfig,
  sentryPlace,
} from "../../supabase/functions/_shared/rules/sentry.ts";
import { createSentry, type FakeSentry } from "../fakes/sentry.ts";
import { recordingLog } from "../support/functions.ts";
import { waitFor } from "../support/wait_for.ts";

Deno.env.set("SUPABASE_URL", "http://127.0.0.1:54321");
Deno.env.set("SUPABASE_SECRET_KEYS", JSON.stringify({ default: "sb_secret_default" }));
Deno.env.set("SUPABASE_PUBLISHABLE_KEYS", JSON.stringify({ default: "sb_publishable_default" }));

async function taken(sentry: FakeSentry, count: number): Promise<void> {
  await waitFor(() => Promise.resolve(sentry.taken.length >= count), {
    what: "the events",
    withinMs: 60_000,
  });
}

/** A Sentry that `fetch` reaches, while the DSN is set: for this file alone, since others run beside it. */
async function withSentry(work: (sentry: FakeSentry) => Promise<void>): Promise<void> {
  const sentry = createSentry("https://sentry.example.com");
  const { fetch } = globalThis;
  globalThis.fetch = ((url: URL, init: RequestInit) => sentry.handle(new Request(url, init))) as typeof fetch;
  const { get } = Deno.env;
  Deno.env.get = (name) => name === "SENTRY_DSN" ? sentry.dsn : get.call(Deno.env, name);
  try {
    await work(sentry);
  } finally {
    globalThis.fetch = fetch;
    Deno.env.get = get;
  }
}

async function call(failing: () => Promise<object>, body = "{}"): Promise<Response> {
  const served = serveFunction({ name: "check-job-health", input: triggerInput, run: failing });
  const headers = { apikey: "sb_secret_default" };
  return await served.fetch(new Request("http://x/check-job-health", { method: "POST", headers, body }));
}

interface TakenEvent {
  exception: {
    values: {
      type: string;
      value: string;
      stacktrace?: { frames: { filename: string; in_app: boolean }[] };
    }[];
  };
  tags: Record<string, string>;
  extra: { log: string };
}

function events(sentry: FakeSentry): TakenEvent[] {
  return sentry.taken.map(({ payload }) => payload as unknown as TakenEvent);
}

Deno.test("an unforeseen error of a function reaches Sentry with its stack, the caller learns nothing of it", async () => {
  await withSentry(async (sentry) => {
    const response = await call(() => Promise.reject(new TypeError("cannot read 'slots' of undefined")));
    assert.equal(response.status, 500);
    assert.doesNotMatch(await response.text(), /slots/);
    await taken(sentry, 1);
    const [event] = events(sentry);
    const [exception] = event?.exception.values ?? [];
    assert.deepEqual([exception?.type, exception?.value], ["TypeError", "cannot read 'slots' of undefined"]);
    assert.ok((exception?.stacktrace?.frames.length ?? 0) > 0);
    assert.equal(event?.tags.function, "check-job-health");
  });
});

Deno.test("so does one in the background, after cron was answered", async () => {
  await withSentry(async (sentry) => {
    const response = await call(() => Promise.reject(new Error("late")), '{"source":"cron"}');
    assert.equal(response.status, 202);
    await response.body?.cancel();
    await taken(sentry, 1);
    assert.equal(events(sentry)[0]?.exception.values[0]?.value, "late");
  });
});

Deno.test("an error that is foreseen but ours is told by its code, what a caller got wrong is not", async () => {
  await withSentry(async (sentry) => {
    for (const code of ["bad_request", "not_found", "conflict"] as const) {
      await (await call(() => Promise.reject(new AppError(code, "your own fault")))).body?.cancel();
    }
    await (await call(() => Promise.resolve({}), '{"projct":1}')).body?.cancel();
    await (await call(() => Promise.reject(new AppError("hub_failed", "Cannot note the end")))).body
      ?.cancel();
    await taken(sentry, 1);
    assert.deepEqual(events(sentry).map(({ exception: { values: [one] } }) => [one?.type, one?.value]), [
      ["AppError hub_failed", "Cannot note the end"],
    ]);
  });
});

Deno.test("what breaks within a run is told too, five times a minute at most", async () => {
  await withSentry(async (sentry) => {
    const log = recordingLog();
    const reporting = reportingLog(log, "send-alert").with({ request_id: "r1" });
    for (let n = 0; n < 20; n++) {
      reporting.error("delivery broke", { n, ...failureFields(new Error(`no ${n}`)) });
    }
    reporting.error("no error at all", { n: 1 });
    await taken(sentry, 5);
    assert.equal(sentry.taken.length, 5);
    assert.equal(JSON.parse(events(sentry)[0]?.extra.log ?? "").n, 0);
  });
});

Deno.test("without a DSN the log is the same and nothing is loaded", () => {
  const log = recordingLog();
  assert.equal(reportingLog(log, "send-alert"), log);
});

Deno.test("nothing secret is told: neither what looks so nor what is configured", async () => {
  const sentry = createSentry("https://sentry.example.com");
  const env = {
    MY_API_KEY: "hunter2hunter2",
    CRM_SUPABASE_POSTGRES_URL: "postgres://bob:pa%22ss-w%C3%B6rd@db.example.com/postgres",
    SUPABASE_URL: "https://abc.supabase.co",
    SENTRY_RELEASE: "1.2.3",
  };
  const refused = await sendFailure(sentry.dsn, env, {
    functionName: "send-alert",
    event: "request failed",
    code: "internal",
    text:
      'Error: no answer from postgresql://bob:s3cret-word@db/x with hunter2hunter2 or pa"ss-wörd\n    at f (file:///a/functions/b.ts:1:2)',
    extra: {
      url: "https://discord.com/api/webhooks/123456789012345678/abcdefghijkl",
      key: ["hunter2hunter2", 'pa"ss-wörd'],
    },
  }, ((url: URL, init: RequestInit) => sentry.handle(new Request(url, init))) as typeof fetch);
  assert.equal(refused, null);
  const told = JSON.stringify(sentry.taken);
  assert.doesNotMatch(told, /hunter2|s3cret|abcdefghijkl|ss-w/);
  assert.match(told, /abc\.supabase\.co/);
  assert.match(told, /"release":"1\.2\.3"/);
});

Deno.test("a Sentry that refuses, wants a rest or is away is said, never thrown", async () => {
  const known = { functionName: "f", event: "e", code: "internal", text: "Error: x", extra: {} };
  const at = (sentry: FakeSentry) =>
    ((url: URL, init: RequestInit) => sentry.handle(new Request(url, init))) as typeof fetch;
  assert.match(await sendFailure("nonsense", {}, known) ?? "", /no DSN/);
  const away = (() => Promise.reject(new TypeError("no route"))) as typeof fetch;
  const sentry = createSentry("https://sentry.example.com");
  assert.match(await sendFailure(sentry.dsn, {}, known, away) ?? "", /network/);
  const stranger = sentry.dsn.replace("89abcdef", "00000000");
  assert.match(await sendFailure(stranger, {}, known, at(sentry)) ?? "", /403/);
  sentry.throttle(30);
  assert.match(await sendFailure(sentry.dsn, {}, known, at(sentry)) ?? "", /429/);
  sentry.throttle(null);
  assert.match(await sendFailure(sentry.dsn, {}, known, at(sentry)) ?? "", /fewer events/);
  assert.deepEqual(sentry.taken, []);
});

Deno.test("an event whose lengths, ids or key are wrong would be refused", async () => {
  const sentry = createSentry("https://sentry.example.com");
  const place = sentryPlace(sentry.dsn);
  const good = failureEnvelope({
    eventId: "a".repeat(32),
    at: new Date(),
    functionName: "f",
    event: "é",
    code: "internal",
    text: "Error: ü\n    at g (ext:core/a.js:3:4)",
    extra: {},
    serverName: null,
    release: null,
    environment: "production",
  }, []);
  const send = (body: string, auth: string) =>
    sentry.handle(
      new Request(`${place?.base}/api/${place?.project}/envelope/`, {
        method: "POST",
        headers: { "x-sentry-auth": auth, "content-type": "application/x-sentry-envelope" },
        body,
      }),
    ).then(({ status }) => status);
  const auth = `Sentry sentry_version=7, sentry_key=${place?.publicKey}`;
  assert.equal(await send(good, auth), 200);
  assert.equal(await send(good.replace(/"length":\d+/, '"length":9999'), auth), 400);
  assert.equal(await send(good.replace("a".repeat(32), "b".repeat(32)), auth), 400);
  assert.equal(await send(good, "Sentry sentry_version=7, sentry_key=0"), 403);
});

Deno.test("a DSN is read with and without a path before its project, and anything else is none", () => {
  assert.deepEqual(sentryPlace("https://k@o1.ingest.sentry.io/42"), {
    base: "https://o1.ingest.sentry.io",
    publicKey: "k",
    project: "42",
  });
  assert.equal(sentryPlace("https://k@sentry.example.com/own/7")?.base, "https://sentry.example.com/own");
  for (
    const none of ["", "https://o1.ingest.sentry.io/42", "https://k@sentry.io/", "https://k@sentry.io/x"]
  ) {
    assert.equal(sentryPlace(none), null, none);
  }
});

Deno.test("the name of a job's monitor is one that Sentry takes, and two jobs never share one", () => {
  const slug = jobSlug(
    "smoothed",
    "Täglich: Rechnungen & Mahnungen an alle Kunden versenden",
    "1a2b3c4d-0000-4000-8000-000000000000",
  );
  assert.match(slug, /^[a-z0-9_-]{1,50}$/);
  assert.notEqual(
    slug,
    jobSlug("smoothed", "Täglich: Rechnungen & Mahnungen an alle Kunden", "ffffffff-0000"),
  );
  assert.equal(jobSlug("p", "sync_leads", "1a2b3c4d-0"), "p-sync_leads-1a2b3c4d");
});

Deno.test("a schedule that Sentry does not read as pg_cron does is not told", () => {
  const limits = { checkin_margin: 20 };
  assert.deepEqual(monitorConfig("0 2 * * *", "GMT", limits), {
    monitor_config: { schedule: { type: "crontab", value: "0 2 * * *" }, timezone: "UTC", ...limits },
  });
  for (const other of ["0 0 $ * *", "30 seconds", "@daily", "", null]) {
    assert.deepEqual(monitorConfig(other, null, limits), {});
  }
});
