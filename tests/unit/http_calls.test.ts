import assert from "node:assert/strict";
import {
  callsOfJobs,
  judgeCalls,
  nextReading,
  NOTHING_READ,
  targetOf,
} from "../../supabase/functions/_shared/rules/http_calls.ts";
import { stalledQueue } from "../../supabase/functions/_shared/rules/http_queue.ts";
import { evaluateProject } from "../../supabase/functions/_shared/rules/evaluate.ts";
import type { HttpCall, HttpFacts, HttpQueue } from "../../supabase/functions/_shared/domain/http.ts";
import {
  afterwards,
  at,
  cronJob,
  facts,
  HOUR,
  inventoryJob,
  knowledge,
  MINUTE,
  NOON,
  run,
} from "../support/facts.ts";

let nextCallId = 1;

/** A call that got 200, unless said otherwise. */
function call(calledAt: number, over: Partial<HttpCall> = {}): HttpCall {
  return {
    callId: nextCallId++,
    job: "sync_leads",
    calledBy: "postgres",
    method: "POST",
    url: "https://abcdefghijklmnopqrst.supabase.co/functions/v1/sync",
    timeoutMs: 5_000,
    calledAt,
    transactionAt: calledAt,
    state: "answered",
    statusCode: 200,
    errorMessage: null,
    bodyOk: null,
    excerpt: null,
    ...over,
  };
}

function http(calls: HttpCall[] | null, over: Partial<HttpFacts> = {}): HttpFacts {
  const lastCallId = calls === null || calls.length === 0
    ? null
    : Math.max(...calls.map(({ callId }) => callId));
  return { queue: null, lastHour: null, calls, lastCallId, errors: [], ...over };
}

function observed(over: Partial<ReturnType<typeof inventoryJob>> = {}) {
  return { ...inventoryJob(over), expectedIntervalMinutes: 60 };
}

Deno.test("callsOfJobs() goes by name and role, by name alone where one job has it, and names strangers", () => {
  const jobs = [
    observed({ id: "a", jobName: "twice", jobUser: "postgres" }),
    observed({ id: "b", jobName: "twice", jobUser: "crm_app" }),
    observed({ id: "c", jobName: "once", jobUser: "postgres" }),
  ];
  const calls = [
    call(NOON, { job: "twice", calledBy: "crm_app" }),
    call(NOON, { job: "once", calledBy: "somebody" }),
    call(NOON, { job: "twice", calledBy: "somebody" }),
    call(NOON, { job: "typo" }),
  ];
  const { byJob, strangers } = callsOfJobs(calls, jobs);
  assert.deepEqual([...byJob].map(([id, own]) => [id, own.length]), [["b", 1], ["c", 1]]);
  assert.deepEqual(strangers, ["twice", "typo"]);
});

Deno.test("targetOf() shows host and slug of a function, host and path of anything else, and no webhook's secret", () => {
  assert.equal(targetOf("https://ref.supabase.co/functions/v1/sync/?a=***"), "ref.supabase.co/sync");
  assert.equal(targetOf("https://example.com:8443/a/b"), "example.com:8443/a/b");
  assert.equal(targetOf("not a url"), "an address that is none");
  assert.ok(
    !targetOf("https://discord.com/api/webhooks/123456789012/abcDEF-secret_token").includes("secret"),
  );
});

Deno.test("judgeCalls() tells the run that a call was made in, also right between two runs", () => {
  const runs = [at("11:00"), at("11:00:02")].map((startedAt, index) => ({
    runId: index + 1,
    status: "success" as const,
    startedAt: new Date(startedAt).toISOString(),
    endedAt: new Date(startedAt + 1_500).toISOString(),
  }));
  const runIdOf = (calledAt: number) =>
    judgeCalls({ jobInventoryId: "a", calls: [call(calledAt)], before: [], runs, bodyOk: "not checked" })
      .logged[0]?.runId;
  assert.equal(runIdOf(at("11:00") + 1_400), 1);
  assert.equal(runIdOf(at("11:00:02") + 10), 2);
  assert.equal(runIdOf(at("11:00") - 500), 1);
  assert.equal(runIdOf(at("10:00")), null);
});

Deno.test("nextReading() keeps waiting calls and missing numbers open for six hours, and begins anew when numbers do", () => {
  const before = { ...NOTHING_READ, callCursor: 10, openCalls: [{ callId: 8, firstSeenAt: NOON - HOUR }] };
  const calls = [
    call(NOON, { callId: 11 }),
    call(NOON + 1, { callId: 13, transactionAt: NOON, state: "waiting", statusCode: null }),
    call(NOON + 2, { callId: 14, transactionAt: NOON + 2 }),
  ];
  const next = nextReading(http(calls), before, NOON);
  assert.equal(next.callCursor, 14);
  assert.deepEqual(next.openCalls.map(({ callId }) => callId).sort((a, b) => a - b), [8, 11, 12, 13]);
  const later = nextReading(http([call(NOON, { callId: 14 })]), next, NOON + 6 * HOUR);
  assert.deepEqual(later.openCalls, []);
  const anew = nextReading(http([], { lastCallId: 3 }), next, NOON);
  assert.deepEqual([anew.callCursor, anew.openCalls], [null, []]);
  const unread = nextReading(http(null), next, NOON);
  assert.deepEqual([unread.callCursor, unread.openCalls.length], [14, 4]);
});

function queue(over: Partial<HttpQueue> = {}): HttpQueue {
  return {
    length: 3,
    firstId: 7,
    longestTimeoutMs: 5_000,
    workerUp: true,
    batchSince: null,
    inBatch: 0,
    batchTimeoutMs: null,
    ...over,
  };
}

Deno.test("stalledQueue() lets a batch take as long as its slowest request may, and no longer", () => {
  const batch = (ageMs: number, batchTimeoutMs: number | null) =>
    stalledQueue(
      { queue: queue({ batchSince: NOON - ageMs, inBatch: 1, batchTimeoutMs }), calls: null },
      { ...NOTHING_READ, queueFirstId: 7, queueSince: NOON - HOUR },
      NOON,
    );
  assert.equal(batch(4 * MINUTE, 5 * MINUTE), null);
  assert.equal(batch(30_000, 5_000), null);
  assert.match(
    batch(2 * MINUTE, 5_000) ?? "",
    /in one batch for 2 min, although its slowest request may take 5 s; 2 more wait behind it/,
  );
  assert.equal(batch(9 * MINUTE, null), null);
  assert.match(batch(11 * MINUTE, null) ?? "", /11 min for a request without a timeout/);
});

Deno.test("stalledQueue() wants the same request to be the first for long, or a kept call to have waited", () => {
  const stalled = (over: Partial<HttpQueue>, waitedMs: number | null) =>
    stalledQueue(
      { queue: queue(over), calls: null },
      { ...NOTHING_READ, queueFirstId: waitedMs === null ? 6 : 7, queueSince: NOON - (waitedMs ?? HOUR) },
      NOON,
    );
  assert.equal(stalled({}, null), null);
  assert.equal(stalled({}, 50_000), null);
  assert.match(
    stalled({}, 2 * MINUTE) ?? "",
    /pg_net's worker does nothing: 3 requests wait, the first for 2 min/,
  );
  assert.match(stalled({ workerUp: false }, 2 * MINUTE) ?? "", /not running/);
  assert.equal(stalled({ workerUp: null, longestTimeoutMs: 10 * MINUTE }, 2 * MINUTE), null);
  assert.match(stalled({ workerUp: null }, 2 * MINUTE) ?? "", /pg_net sends nothing/);
  assert.equal(stalled({ length: 0, firstId: null }, HOUR), null);
  const calls = [call(NOON - 3 * MINUTE, { state: "waiting" })];
  assert.match(stalledQueue({ queue: queue(), calls }, NOTHING_READ, NOON) ?? "", /the first for 3 min/);
});

/** A look at noon: the hourly job ran at 12:00, and made one call in that run. */
function look(
  calls: HttpCall[],
  over: { job?: Parameters<typeof inventoryJob>[0]; runs?: ReturnType<typeof run>[] } = {},
) {
  const known = knowledge({ jobs: [inventoryJob(over.job)] });
  const runs = over.runs ?? [run(at("11:00")), run(at("12:00"))];
  const seen = facts({ jobs: [cronJob()], runs, http: http(calls) });
  return {
    known,
    evaluation: evaluateProject({ name: "smoothed", ref: null }, seen, known, NOON, () => "new"),
  };
}

Deno.test("a run whose call failed makes the job failed, and a later run without a call healthy again", () => {
  const { known, evaluation } = look([call(at("12:00"), { statusCode: 503 })]);
  const [job] = evaluation.jobs;
  assert.deepEqual([job?.status, job?.verdict], ["failed", "http_failed"]);
  assert.equal(job?.summary, "the call got 503 from abcdefghijklmnopqrst.supabase.co/sync");
  const later = facts({
    now: at("13:05"),
    runs: [run(at("13:00"))],
    cursor: 1,
    http: http([], { lastCallId: nextCallId - 1 }),
  });
  const next = evaluateProject(
    { name: "smoothed", ref: null },
    later,
    afterwards(known, evaluation),
    at("13:05"),
    () => "new",
  );
  assert.deepEqual([next.jobs[0]?.status, next.observations.incidents?.map(({ action }) => action)], [
    "healthy",
    ["resolve"],
  ]);
});

Deno.test("the call of a run decides nothing while another of its calls waits: the run before does", () => {
  const { evaluation } = look([
    call(at("11:00"), { statusCode: 500 }),
    call(at("12:00"), { state: "waiting", statusCode: null }),
  ]);
  assert.deepEqual([evaluation.jobs[0]?.status, evaluation.jobs[0]?.verdict], ["failed", "http_failed"]);
});

Deno.test("below the failure threshold a failed call is no incident, and not healthy either", () => {
  const { evaluation } = look([call(at("12:00"), { statusCode: 500 })], { job: { failureThreshold: 2 } });
  assert.deepEqual([evaluation.jobs[0]?.status, evaluation.jobs[0]?.verdict], ["unknown", "below_threshold"]);
  assert.deepEqual(evaluation.observations.incidents, []);
  const twice = look(
    [call(at("11:00"), { statusCode: 500 }), call(at("12:00"), { statusCode: 500 })],
    { job: { failureThreshold: 2 } },
  );
  assert.match(twice.evaluation.jobs[0]?.summary ?? "", /2 times in a row$/);
});

Deno.test("a timeout is unknown and low, a crash unknown and not sent; what failed before stays as grave", () => {
  const severityOf = (calls: HttpCall[]) => {
    const [incident] = look(calls).evaluation.observations.incidents ?? [];
    return incident?.action === "open" ? [incident.code, incident.severity] : incident?.action;
  };
  assert.deepEqual(severityOf([call(at("12:00"), { state: "timed out", statusCode: null })]), [
    "http_unknown",
    "low",
  ]);
  assert.deepEqual(severityOf([call(at("12:00"), { state: "lost in a crash", statusCode: null })]), [
    "http_unknown",
    "info",
  ]);
  const { known, evaluation } = look([call(at("12:00"), { statusCode: 500 })]);
  const later = facts({
    now: at("13:05"),
    runs: [run(at("13:00"))],
    http: http([call(at("13:00"), { state: "timed out", statusCode: null })]),
  });
  const [update] = evaluateProject(
    { name: "smoothed", ref: null },
    later,
    afterwards(known, evaluation),
    at("13:05"),
    () => "new",
  )
    .observations.incidents ?? [];
  assert.deepEqual([update?.action, update?.action === "update" ? update.severity : null], [
    "update",
    "important",
  ]);
});

Deno.test("a command with an expired key is a low incident of its own kind, and leaves the state as runs show it", () => {
  const part = (value: unknown) => btoa(JSON.stringify(value)).replace(/=+$/, "");
  const token = `${part({ alg: "HS256" })}.${part({ role: "anon", exp: NOON / 1000 - 1 })}.signature`;
  const command =
    `select net.http_post('https://example.com/', headers := '{"Authorization": "Bearer ${token}"}')`;
  const seen = facts({ jobs: [cronJob({ command })], runs: [run(at("12:00"))] });
  const { jobs, observations } = evaluateProject(
    { name: "smoothed", ref: null },
    seen,
    knowledge({ jobs: [inventoryJob()] }),
    NOON,
    () => "new",
  );
  assert.deepEqual([jobs[0]?.status, jobs[0]?.verdict], ["healthy", "http_cannot_work"]);
  const [incident] = observations.incidents ?? [];
  assert.ok(incident?.action === "open" && incident.severity === "low");
  assert.ok(!JSON.stringify(observations).includes(token), "the token is nowhere in what is recorded");
});
