/** The rules of edge functions: which source is believed, what a health check's answer counts as, what a drain holds. */
import assert from "node:assert/strict";
import type {
  EdgeFacts,
  EdgeKnowledge,
  FunctionKnowledge,
  InvocationMinute,
} from "../../supabase/functions/_shared/domain/edge_function.ts";
import { NO_EXPECTATIONS } from "../../supabase/functions/_shared/domain/edge_function.ts";
import type { JobState, OpenIncident } from "../../supabase/functions/_shared/domain/hub.ts";
import { countDrained } from "../../supabase/functions/_shared/rules/drained_events.ts";
import { recentInvocations } from "../../supabase/functions/_shared/rules/invocations.ts";
import { evaluateEdge } from "../../supabase/functions/_shared/rules/evaluate_edge.ts";
import { judgeFunction } from "../../supabase/functions/_shared/rules/judge_function.ts";
import {
  isHealthCheckDue,
  judgeHealthAnswer,
  statusMatches,
} from "../../supabase/functions/_shared/rules/health_answers.ts";
import { HOUR, inventoryJob, knowledge, MINUTE, NOON } from "../support/facts.ts";

function minute(
  ago: number,
  invocations: number,
  errors = 0,
  over: Partial<InvocationMinute> = {},
): InvocationMinute {
  return {
    functionName: "sync-leads",
    source: "log",
    minute: NOON - ago * MINUTE,
    invocations,
    errors,
    clientErrors: 0,
    durationTotalMs: 10 * invocations,
    durationMaxMs: 10,
    ...over,
  };
}

const job = inventoryJob({
  jobType: "edge_function",
  jobName: "sync-leads",
  jobUser: null,
  jobId: null,
  schedule: null,
});

function known(over: Partial<FunctionKnowledge> = {}): FunctionKnowledge {
  const minutes = over.minutes ?? [];
  return {
    jobInventoryId: job.id,
    expectations: NO_EXPECTATIONS,
    isHeartbeat: false,
    deployed: null,
    health: null,
    minutes,
    newMinutes: [],
    lastInvocationAt: minutes.length === 0 ? null : Math.max(...minutes.map(({ minute }) => minute)),
    wrappedSince: null,
    lastFailure: null,
    ...over,
  };
}

const NO_FACTS: EdgeFacts = { deployed: null, healthAnswers: new Map(), logs: null };

function edge(over: Partial<EdgeKnowledge["logs"]> = {}): EdgeKnowledge {
  const logs = {
    readFrom: NOON - 24 * HOUR,
    readUntil: NOON,
    notBefore: null,
    errorMessage: null,
    errorSince: null,
    drainedFrom: null,
    drainedUntil: null,
    ...over,
  };
  return { logs, functions: new Map() };
}

function judge(
  own: FunctionKnowledge,
  more: { edge?: EdgeKnowledge; facts?: EdgeFacts; failureThreshold?: number } = {},
) {
  const { facts = NO_FACTS, failureThreshold = null } = more;
  return judgeFunction({ ...job, failureThreshold }, own, facts, more.edge ?? edge(), knowledge(), NOON);
}

Deno.test("recentInvocations() takes the newest minutes until there are enough, and no more", () => {
  const recent = recentInvocations([minute(5, 4, 4), minute(9, 6), minute(60, 100, 100)], 10);
  assert.deepEqual([recent?.invocations, recent?.errors, recent?.failedInARow], [10, 4, 4]);
});

Deno.test("recentInvocations() never adds sources: the freshest one counts, among equally fresh ones the platform's", () => {
  const wrapper = { source: "wrapper" } as const;
  assert.equal(recentInvocations([minute(8, 2), minute(1, 2, 0, wrapper)], 10)?.source, "log");
  assert.equal(recentInvocations([minute(30, 2), minute(1, 2, 0, wrapper)], 10)?.source, "wrapper");
  assert.equal(recentInvocations([minute(3, 2), minute(5, 2, 0, { source: "drain" })], 10)?.source, "drain");
  assert.equal(recentInvocations([minute(3, 2), minute(3, 3, 0, wrapper)], 10)?.invocations, 2);
  assert.equal(recentInvocations([], 10), null);
});

Deno.test("failing begins at the percentage, of enough invocations, or with failures in a row", () => {
  const verdict = (minutes: InvocationMinute[], failureThreshold?: number) =>
    judge(known({ minutes }), failureThreshold === undefined ? {} : { failureThreshold }).report.verdict;
  assert.equal(verdict([minute(5, 10, 2)]), "failing");
  assert.equal(verdict([minute(5, 100, 19)]), null);
  assert.equal(verdict([minute(5, 9, 4)]), null, "too few to say so");
  assert.equal(verdict([minute(5, 3, 3)]), "failing");
  assert.equal(verdict([minute(5, 1, 1), minute(90, 1, 1), minute(200, 1, 1)]), "failing");
  assert.equal(verdict([minute(5, 2, 2)]), "below_threshold");
  assert.equal(verdict([minute(5, 1, 1)], 1), "failing");
  assert.equal(verdict([minute(1, 1), minute(5, 5, 5)]), null, "the newest succeeded");
});

Deno.test("answers with 4xx are the callers' errors and no failure", () => {
  const { report } = judge(known({ minutes: [minute(5, 20, 0, { clientErrors: 20 })] }));
  assert.deepEqual([report.status, report.verdict], ["healthy", null]);
});

Deno.test("what a wrapper told of a failure is in the alert, if it is one of these", () => {
  const lastFailure = {
    at: NOON - 5 * MINUTE,
    httpStatus: null,
    errorName: "TypeError",
    errorMessage: "leads is undefined",
  };
  const minutes = [minute(6, 3, 3)];
  const [opened] = judge(known({ minutes, lastFailure })).transitions;
  assert.equal(
    opened?.action === "open" && opened.summary,
    "its last 3 invocations failed: TypeError: leads is undefined",
  );
  const [older] =
    judge(known({ minutes, lastFailure: { ...lastFailure, at: NOON - 20 * HOUR } })).transitions;
  assert.equal(older?.action === "open" && older.summary, "its last 3 invocations failed");
});

Deno.test("without traffic and expectations it is idle, without anybody watching not watched: unknown both", () => {
  assert.deepEqual([judge(known()).report.status, judge(known()).report.verdict], ["unknown", "idle"]);
  const blind = judge(known(), { edge: edge({ readFrom: null, readUntil: null }) }).report;
  assert.deepEqual([blind.status, blind.verdict], ["unknown", "not_watched"]);
  const behind = judge(known(), { edge: edge({ readUntil: NOON - 2 * HOUR }) }).report;
  assert.deepEqual([behind.status, behind.verdict], ["unknown", "logs_behind"]);
});

Deno.test("silence counts from the last invocation, up to where the logs are known, and only while they are", () => {
  const expectations = { ...NO_EXPECTATIONS, maxSilenceMinutes: 60 };
  const verdict = (own: Partial<FunctionKnowledge>, logs: Partial<EdgeKnowledge["logs"]> = {}) =>
    judge(known({ expectations, ...own }), { edge: edge(logs) }).report.verdict;
  assert.equal(verdict({ lastInvocationAt: NOON - 61 * MINUTE }), "silent");
  assert.equal(verdict({ lastInvocationAt: NOON - 59 * MINUTE }), "idle");
  assert.equal(verdict({}), "silent", "24 hours of logs and nothing in them");
  assert.equal(verdict({}, { readFrom: NOON - 50 * MINUTE }), "idle", "nobody looked before");
  assert.equal(verdict({ lastInvocationAt: NOON - 3 * HOUR }, { readFrom: NOON - 50 * MINUTE }), "idle");
  assert.equal(
    verdict({ lastInvocationAt: NOON - 3 * HOUR }, { readUntil: NOON - 150 * MINUTE }),
    "logs_behind",
  );
  assert.equal(verdict({}, { readFrom: null, readUntil: null }), "not_watched");
  assert.equal(
    verdict({}, {
      readFrom: null,
      readUntil: null,
      drainedFrom: NOON - 2 * HOUR,
      drainedUntil: NOON - MINUTE,
    }),
    "silent",
  );
  assert.equal(
    verdict({ wrappedSince: NOON - 5 * HOUR, lastInvocationAt: NOON - 2 * HOUR }, { readUntil: null }),
    "silent",
  );
});

Deno.test("an incident stays while nothing shows that it is over", () => {
  const incident = {
    id: "incident-1",
    subjectKind: "job" as const,
    subjectId: job.id,
    code: "failing",
    severity: "important" as const,
    summary: "x",
    detail: {},
    openedAt: NOON - 30 * HOUR,
  };
  const withIncident = knowledge({ incidents: [incident] });
  const transitions = (own: FunctionKnowledge) =>
    judgeFunction(job, own, NO_FACTS, edge(), withIncident, NOON).transitions.map(({ action }) => action);
  assert.deepEqual(transitions(known()), [], "no traffic is no recovery");
  assert.deepEqual(transitions(known({ minutes: [minute(5, 2, 2)] })), []);
  assert.deepEqual(transitions(known({ minutes: [minute(5, 3, 3)] })), ["update"]);
  assert.deepEqual(transitions(known({ minutes: [minute(5, 1)] })), ["resolve"]);
});

Deno.test("settled minutes are one row of the log, each minute once, from one source", () => {
  const state = (judgedUntil: number | null): JobState => ({
    jobInventoryId: job.id,
    status: "healthy",
    verdict: null,
    summary: null,
    schedule: null,
    slotsSince: null,
    judgedUntil,
    lastRunAt: null,
    lastSuccessAt: null,
    consecutiveFailures: 0,
    recentRuns: [],
  });
  const minutes = [minute(20, 4, 1), minute(8, 6), minute(2, 9, 9), minute(8, 5, 5, { source: "wrapper" })];
  const look = (judgedUntil: number | null) =>
    judgeFunction(
      job,
      known({ minutes, newMinutes: minutes }),
      NO_FACTS,
      edge(),
      knowledge({ states: new Map([[job.id, state(judgedUntil)]]) }),
      NOON,
    );
  const first = look(null);
  assert.deepEqual(
    first.runs.map((
      { status, errorMessage, durationMs, source },
    ) => [status, errorMessage, durationMs, source]),
    [
      ["success", "1 of 10 invocations failed", 10, "log"],
    ],
  );
  assert.equal(first.state.judgedUntil, NOON - 8 * MINUTE);
  assert.deepEqual(look(NOON - 8 * MINUTE).runs, []);
});

Deno.test("statusMatches() knows statuses and classes of them", () => {
  assert.ok(statusMatches(204, "2xx") && statusMatches(404, "200, 404") && statusMatches(301, "2xx,3xx"));
  assert.ok(!statusMatches(500, "2xx") && !statusMatches(201, "200"));
});

Deno.test("a slow answer is counted only where it is also a good one", () => {
  const expected = NO_EXPECTATIONS;
  const slow = { kind: "answered", httpStatus: 200, latencyMs: 6_000, bodyMatched: null } as const;
  const before = {
    checkedAt: 0,
    outcome: "success",
    message: null,
    latencyMs: 1,
    failuresInARow: 0,
    slowInARow: 1,
  } as const;
  const judged = judgeHealthAnswer(slow, expected, before, NOON);
  assert.deepEqual([judged.outcome, judged.slow, judged.slowInARow], ["success", true, 2]);
  const failed = judgeHealthAnswer({ ...slow, httpStatus: 500 }, expected, before, NOON);
  assert.deepEqual([failed.outcome, failed.slow, failed.failuresInARow], ["failed", false, 1]);
});

Deno.test("a webhook with a schedule is asked once for each slot, anything else at every look", () => {
  assert.ok(isHealthCheckDue(null, NOON, NOON));
  assert.ok(isHealthCheckDue("0 * * * *", null, NOON));
  assert.ok(isHealthCheckDue("0 * * * *", NOON - MINUTE, NOON + MINUTE));
  assert.ok(!isHealthCheckDue("0 * * * *", NOON + MINUTE, NOON + 10 * MINUTE));
  assert.ok(isHealthCheckDue("not a schedule", NOON, NOON));
});

const OPTIONS = { now: NOON, isOwn: (name: string) => name.startsWith("receive-") };

function event(over: Record<string, unknown> = {}, metadata: Record<string, unknown> = {}) {
  return {
    id: "1",
    event_message: "POST | 200 | https://x.supabase.co/functions/v1/sync-leads",
    timestamp: NOON * 1000,
    metadata: {
      function_id: "f-1",
      execution_time_ms: 42,
      request: { pathname: "/functions/v1/sync-leads", headers: { user_agent: "curl/8" } },
      response: { status_code: 200 },
      ...metadata,
    },
    ...over,
  };
}

Deno.test("countDrained() reads metadata nested, in one-element arrays, and with dotted keys", () => {
  const nested = event();
  const arrays = event({}, {
    request: [{ pathname: "/functions/v1/sync-leads" }],
    response: [{ status_code: "500" }],
  });
  const dotted = {
    timestamp: new Date(NOON).toISOString(),
    metadata: [{
      "function_id": "f-1",
      "request.pathname": "/functions/v1/sync-leads",
      "response.status_code": 404,
      "execution_time_ms": "8",
    }],
  };
  const batch = countDrained([nested, arrays, dotted], OPTIONS);
  assert.deepEqual(batch, {
    minutes: [{
      functionName: "sync-leads",
      functionId: "f-1",
      minute: NOON,
      invocations: 3,
      errors: 1,
      clientErrors: 1,
      durationTotalMs: 92,
      durationMaxMs: 42,
    }],
    events: 3,
    counted: 3,
    dropped: 0,
    ignored: 0,
  });
});

Deno.test("countDrained() drops the receivers' own events and health checks, and passes over everything else", () => {
  const own = event({}, { request: { pathname: "/functions/v1/receive-log-drain/smoothed?x=1" } });
  const healthCheck = event({}, {
    request: { pathname: "/sync-leads", headers: { user_agent: "supabase-job-monitor/1 (health check)" } },
  });
  const others = [
    null,
    7,
    "text",
    [],
    {},
    { metadata: null },
    event({ timestamp: "yesterday" }),
    event({ timestamp: (NOON - 25 * HOUR) * 1000 }),
    event({}, { response: {} }),
    event({}, { response: { status_code: 99_999 } }),
    { timestamp: NOON, metadata: { function_id: "f-1", level: "log" } },
  ];
  const { minutes, ...counts } = countDrained([own, healthCheck, ...others], OPTIONS);
  assert.deepEqual([minutes, counts], [[], { events: 13, counted: 0, dropped: 2, ignored: 11 }]);
});

Deno.test("a webhook without a health_check_url is left to its pings, once what its health check opened is over", () => {
  const webhook = inventoryJob({ jobType: "webhook", jobName: "crm_hook", jobUser: null, jobId: null });
  const judged = (code: string, own: Partial<FunctionKnowledge>) => {
    const incident: OpenIncident = {
      ...{ id: "incident-1", subjectKind: "job", subjectId: webhook.id, code, severity: "low" },
      ...{ summary: "it was so", detail: {}, openedAt: NOON - HOUR },
    };
    const { observations } = evaluateEdge(
      { name: "smoothed", ref: null },
      NO_FACTS,
      knowledge({ jobs: [webhook], incidents: [incident] }),
      { ...edge(), functions: new Map([[webhook.id, known({ jobInventoryId: webhook.id, ...own })]]) },
      NOON,
      () => "id",
    );
    return (observations.incidents ?? []).map((
      one,
    ) => [one.action, "resolution" in one ? one.resolution : null]);
  };
  assert.deepEqual(judged("slow", { isHeartbeat: true }), []);
  assert.deepEqual(judged("missed", { isHeartbeat: true }), []);
  assert.deepEqual(judged("slow", { isHeartbeat: false }), [["resolve", "recovered"]]);
  assert.deepEqual(judged("unhealthy", { isHeartbeat: true }), [["resolve", "recovered"]]);
});
