/** What alerts say. */
import assert from "node:assert/strict";
import { composeMessage, renderPlain } from "../../supabase/functions/_shared/rules/message.ts";
import type { DeliveryEvent, Message } from "../../supabase/functions/_shared/domain/delivery.ts";
import type { Incident } from "../../supabase/functions/_shared/domain/incident.ts";
import { alertJob, incident, NOW, recentRuns } from "../support/alerts.ts";

function compose(event: DeliveryEvent, incidents: Incident[], now = NOW): Message {
  return composeMessage({ event, incidents, now });
}

function fieldsOf(message: Message): Record<string, string> {
  return Object.fromEntries(message.fields.map((field) => [field.label, field.value]));
}

Deno.test("an alert names verdict, job, project and severity in its first line, the cause in its second", () => {
  const message = compose("opened", [incident()]);
  assert.equal(message.title, "FAILED: sync_leads in smoothed · critical");
  assert.equal(message.cause, "The last run failed: ERROR: division by zero.");
});

Deno.test("an alert of a failed run tells when it ran, the last success, schedule, owner, criticality and annotations", () => {
  assert.deepEqual(fieldsOf(compose("opened", [incident()])), {
    "Ran at": "2026-11-21 12:45 UTC (2 min 12 s ago)",
    "Last success": "2026-11-21 12:30:01 UTC (17 min ago)",
    "Schedule": "*/15 * * * * as postgres",
    "Owner": "dana@acme.com",
    "Criticality": "critical",
    "What it does": "Copies new leads",
    "It worked when": "leads.updated_at moves",
  });
});

Deno.test("an alert tells how long the run took against what is usual, where that says anything", () => {
  const runs = (seconds: readonly number[]) =>
    seconds.map((took, index) => ({
      runId: index,
      status: index === seconds.length - 1 ? "failed" as const : "success" as const,
      startedAt: `2026-11-21T12:${10 + index}:00Z`,
      endedAt: new Date(Date.UTC(2026, 10, 21, 12, 10 + index) + took * 1000).toISOString(),
    }));
  const took = (seconds: readonly number[]) => {
    const recentRuns = runs(seconds);
    const lastRunAt = recentRuns.at(-1)?.startedAt ?? null;
    return fieldsOf(compose("opened", [incident({ detail: { recentRuns, lastRunAt } })]))["Took"];
  };
  assert.equal(took([2, 4, 3, 120]), "2 min (usually 3 s)");
  assert.equal(took([0.2, 0.1, 0.3, 60]), "1 min (usually less than 1 s)");
  assert.equal(took([20, 60]), "1 min");
  assert.equal(took([0.2, 0.1, 0.3, 0.2]), undefined);
  assert.equal(took([]), undefined);
});

Deno.test("an alert tells what changed before it and what else is open, however that is written", () => {
  const surroundings = {
    changes: [
      { change: "schedule", oldValue: "0 * * * *\n", noticedAt: "2026-11-21T12:40:00Z" },
      { change: "command", oldValue: null, noticedAt: "not a time" },
    ],
    names: [{ name: "rm password=hunter2secret", code: "never_ran" }],
    ...{ here: 3, elsewhere: 1 },
  };
  const fields = fieldsOf(compose("opened", [incident({ surroundings })]));
  assert.equal(
    fields["Changed since then"],
    "schedule (was 0 * * * *), noticed 2026-11-21 12:40 UTC; command",
  );
  assert.equal(
    fields["Also open"],
    "rm password=*** (never ran) and 2 more in smoothed; 1 incident in other projects",
  );
  const alone = { changes: [], names: [], here: 0, elsewhere: 0, unreadSince: "2026-11-21T12:30:12Z" };
  assert.equal(
    fieldsOf(compose("opened", [incident({ surroundings: alone })]))["Project last read"],
    "2026-11-21 12:30:12 UTC (17 min ago)",
  );
  assert.equal("Also open" in fieldsOf(compose("opened", [incident({ surroundings: alone })])), false);
  const over = { resolvedAt: "2026-11-21T12:58:00Z", resolution: "recovered" };
  assert.equal("Also open" in fieldsOf(compose("resolved", [incident({ surroundings, ...over })])), false);
});

Deno.test("an alert of a metric names it, its number, what that means and its thresholds", () => {
  const graver = incident({
    subjectKind: "metric",
    subjectId: 'smoothed/dead_tuples{table="orders"}',
    code: "above_critical",
    summary: "it is 75 % (critical from 70 %), for 60 min",
    detail: {
      subjectName: "dead_tuples (table orders)",
      cause: "Rows that are dead and not vacuumed yet",
      facts: [{ label: "Thresholds", value: "warning from 40 %, critical from 70 %" }],
    },
    job: null,
  });
  const opened = compose("opened", [graver]);
  assert.equal(opened.title, "ABOVE CRITICAL: metric dead_tuples (table orders) in smoothed · critical");
  assert.equal(
    opened.cause,
    "It is 75 % (critical from 70 %), for 60 min. Rows that are dead and not vacuumed yet.",
  );
  assert.deepEqual(fieldsOf(opened), { "Thresholds": "warning from 40 %, critical from 70 %" });
  const eased = compose("resolved", [
    { ...graver, resolvedAt: "2026-11-21T12:46:12Z", resolution: "superseded" },
  ]);
  assert.match(eased.title, /^CLOSED: metric dead_tuples/);
  assert.match(eased.cause, /^It is no longer critical, but still a warning\. It lasted/);
});

Deno.test("an alert of a missed run tells expected against actual time and the grace", () => {
  const missed = incident({
    code: "missed",
    summary: "no run for the slot at 2026-11-21 12:15 UTC (every 15 minutes)",
    detail: {
      expectedAt: "2026-11-21T12:15:00Z",
      lastRunAt: null,
      lastSuccessAt: null,
      missedSlots: 2,
      graceMinutes: 7.5,
      cause: "the server was down; it started at 2026-11-21T12:31:00.000Z",
    },
    openedAt: "2026-11-21T12:31:00Z",
    job: alertJob({ criticality: null, owner: null, description: null, successCriteria: null }),
    severity: "important",
  });
  const message = compose("opened", [missed]);
  assert.equal(message.title, "MISSED: sync_leads in smoothed · important");
  assert.equal(
    message.cause,
    "No run for the slot at 2026-11-21 12:15 UTC (every 15 minutes). " +
      "The server was down; it started at 2026-11-21 12:31 UTC.",
  );
  assert.deepEqual(fieldsOf(message), {
    "Expected": "2026-11-21 12:15 UTC (32 min ago)",
    "Actual": "no run by 2026-11-21 12:31 UTC (16 min late; 7 min 30 s of grace)",
    "Last run": "none on record",
    "Last success": "none on record",
    "Slots missed": "2",
    "Schedule": "*/15 * * * * as postgres",
    "Owner": "nobody yet",
    "Criticality": "not set, taken as important",
  });
});

Deno.test("an alert of a job that never ran does not say that it ran", () => {
  const detail = { expectedAt: "2026-11-21T12:15:00Z", lastRunAt: null };
  const message = compose("opened", [
    incident({ code: "never_ran", detail, openedAt: "2026-11-21T12:31:00Z" }),
  ]);
  assert.equal(message.title, "NEVER RAN: sync_leads in smoothed · critical");
  const fields = fieldsOf(message);
  assert.equal(fields.Actual, "no run by 2026-11-21 12:31 UTC (16 min late)");
  assert.equal(fields["Last run"], "none on record");
  assert.equal(fields["Ran at"], undefined);
});

Deno.test("an alert of a failed run that started late tells by how much", () => {
  const detail = {
    ...incident().detail,
    expectedAt: "2026-11-21T12:30:00Z",
    lastRunAt: "2026-11-21T12:45:00Z",
  };
  const fields = fieldsOf(compose("opened", [incident({ detail })]));
  assert.equal(fields.Expected, "2026-11-21 12:30 UTC (17 min ago)");
  assert.equal(fields.Actual, "2026-11-21 12:45 UTC (15 min late)");
});

Deno.test("an alert shows the last ten runs, oldest first", () => {
  assert.equal(compose("opened", [incident()]).strip, "🟩🟩🟩🟩🟩🟩🟩🟩🟩🟥");
  const few = incident({ detail: { recentRuns: recentRuns("surf") } });
  assert.equal(compose("opened", [few]).strip, "🟩⬜🟦🟥");
  assert.match(renderPlain(compose("opened", [few])), /^Last 4 runs: 🟩⬜🟦🟥$/m);
});

Deno.test("an alert quotes the error, redacted, and not when the cause has it already", () => {
  const errorMessage = "ERROR:  cannot connect to postgres://app:hunter2@db/x\nDETAIL: timeout";
  const quoted = compose("opened", [incident({ detail: { errorMessage } })]);
  assert.equal(quoted.excerpt, "ERROR:  cannot connect to postgres://app:***@db/x\nDETAIL: timeout");
  const short = compose("opened", [incident({ detail: { errorMessage: "ERROR:  division by zero\n" } })]);
  assert.equal(short.excerpt, null);
  const summary = "the call got 404 from app.example/refresh-prices";
  const lowerCase = compose("opened", [incident({ summary, detail: { errorMessage: summary } })]);
  assert.equal(lowerCase.cause, "The call got 404 from app.example/refresh-prices.");
  assert.equal(lowerCase.excerpt, null);
  const secret = incident({
    summary: "the last run failed: no way to postgres://app:***@db/x",
    detail: { errorMessage: "no way to postgres://app:hunter2@db/x" },
  });
  assert.equal(compose("opened", [secret]).excerpt, null);
});

Deno.test("an excerpt keeps no more than 100,000 characters", () => {
  const message = compose("opened", [incident({ detail: { errorMessage: "e ".repeat(500_000) } })]);
  assert.equal(message.excerpt?.length, 100_000);
});

Deno.test("an alert links runbook and dashboard, and tells a runbook that is not https without a link", () => {
  assert.deepEqual(compose("opened", [incident()]).links, [
    { label: "Runbook", url: "https://wiki.acme.com/sync" },
    {
      label: "Dashboard",
      url: "https://supabase.com/dashboard/project/abcdefghijklmnopqrst/integrations/cron/jobs",
    },
  ]);
  const plain = incident({ projectId: null, job: alertJob({ runbookUrl: "http://wiki/sync" }) });
  assert.deepEqual(compose("opened", [plain]).links, []);
  assert.equal(fieldsOf(compose("opened", [plain])).Runbook, "http://wiki/sync");
  const script = incident({ projectId: "../x", job: alertJob({ runbookUrl: "javascript:alert(1)" }) });
  assert.deepEqual(compose("opened", [script]).links, []);
});

Deno.test("an edge function's dashboard link leads to the functions, a project's to the project", () => {
  const [link] =
    compose("opened", [incident({ job: alertJob({ jobType: "edge_function", runbookUrl: null }) })]).links;
  assert.equal(link?.url, "https://supabase.com/dashboard/project/abcdefghijklmnopqrst/functions");
  const project = incident({
    subjectKind: "project",
    subjectId: "smoothed",
    job: null,
    code: "wrong_credentials",
  });
  const message = compose("opened", [project]);
  assert.equal(message.title, "WRONG CREDENTIALS: project smoothed · critical");
  assert.equal(message.links[0]?.url, "https://supabase.com/dashboard/project/abcdefghijklmnopqrst");
});

Deno.test("an alert carries the incident's id", () => {
  const message = compose("opened", [incident()]);
  assert.match(
    message.footer,
    /^incident 6f1d9c1e-4b0a-4f57-9d3f-1d2f7c0a9b11 · as of 2026-11-21 12:47:12 UTC/,
  );
  assert.deepEqual(message.incidentIds, ["6f1d9c1e-4b0a-4f57-9d3f-1d2f7c0a9b11"]);
});

Deno.test("a job that nobody annotated counts as important, however grave what is told of it", () => {
  const message = compose("opened", [incident({ severity: "low", job: alertJob({ criticality: null }) })]);
  assert.equal(fieldsOf(message)["Criticality"], "not set, taken as important");
});

Deno.test("a reminder says how long it has lasted", () => {
  const message = compose("reminder", [incident()], new Date("2026-11-21T18:46:00Z"));
  assert.equal(message.title, "STILL FAILED: sync_leads in smoothed · critical");
  assert.match(message.cause, /It has lasted 6 h so far\.$/);
});

Deno.test("a recovery says how long it was down and what it was", () => {
  const over = incident({ resolvedAt: "2026-11-21T15:58:00Z", resolution: "recovered" });
  const message = compose("resolved", [over], new Date("2026-11-21T15:58:10Z"));
  assert.equal(message.title, "RECOVERED: sync_leads in smoothed after 3 h 12 min");
  assert.equal(
    message.cause,
    "All is well again. It lasted 3 h 12 min, from 2026-11-21 12:46 UTC to 2026-11-21 15:58 UTC.",
  );
  assert.equal(fieldsOf(message)["What it was"], "The last run failed: ERROR: division by zero.");
  assert.equal(message.excerpt, null);
});

Deno.test("a project that can be read again is not said to be well, and what else is open there is named", () => {
  const over = incident({
    ...{ subjectKind: "project", subjectId: "smoothed", job: null, code: "unreachable" },
    ...{ resolvedAt: "2026-11-21T15:58:00Z", resolution: "recovered" },
    surroundings: {
      ...{ changes: [], names: [{ name: "sync_leads", code: "missed" }], here: 1, elsewhere: 0 },
    },
  });
  const message = compose("resolved", [over]);
  assert.match(message.title, /^RECOVERED: project smoothed after 3 h 12 min$/);
  assert.match(message.cause, /^That is over\. It lasted 3 h 12 min/);
  assert.equal(fieldsOf(message)["Also open"], "sync_leads (missed) in smoothed");
});

Deno.test("an incident that ended without a recovery is closed, not recovered", () => {
  const removed = incident({ resolvedAt: "2026-11-21T15:58:00Z", resolution: "removed" });
  const message = compose("resolved", [removed]);
  assert.match(message.title, /^CLOSED: sync_leads in smoothed/);
  assert.match(message.cause, /^The job is gone/);
});

Deno.test("an alert that is late says that it has recovered since", () => {
  const message = compose("opened", [
    incident({ resolvedAt: "2026-11-21T12:50:00Z", resolution: "recovered" }),
  ]);
  assert.match(message.cause, /It has recovered since, at 2026-11-21 12:50 UTC\.$/);
});

Deno.test("one message tells of many incidents: the worst first, then how many more, all by name", () => {
  const incidents = Array.from({ length: 13 }, (_, index) =>
    incident({
      id: `id ${index}`,
      severity: index === 12 ? "critical" : "low",
      code: index % 4 === 0 ? "missed" : "failed",
      job: alertJob({ jobName: `job_${index}` }),
    }));
  const message = compose("opened", incidents);
  assert.equal(message.title, "9 FAILED, 4 MISSED: 13 jobs in smoothed · 1 critical, 12 low");
  assert.equal(message.severity, "critical");
  assert.equal(message.fields.length, 9);
  assert.equal(message.fields[0]?.label, "MISSED: job_12");
  assert.equal(
    message.fields[0]?.value,
    "Since 2026-11-21 12:46 UTC, 1 min 12 s ago. Owner: dana@acme.com.",
  );
  assert.equal(
    message.cause,
    "The same for each: The last run failed: ERROR: division by zero. The worst first, the others by name.",
  );
  assert.equal(message.fields.at(-1)?.label, "+ 5 more");
  assert.equal(message.incidentIds.length, 13);
  for (let index = 0; index < 13; index++) {
    assert.match(renderPlain(message), new RegExp(`\\bjob_${index}\\b`));
  }
});

Deno.test("a recovery of many is one message", () => {
  const over = { resolvedAt: "2026-11-21T15:58:00Z", resolution: "recovered" };
  const message = compose("resolved", [
    incident(over),
    incident({ ...over, projectName: "scraping", code: "missed" }),
  ]);
  assert.equal(message.title, "RECOVERED: 2 jobs in 2 projects");
  assert.equal(message.cause, "It was: 1 failed, 1 missed. The worst first.");
  assert.equal(message.fields[1]?.label, "sync_leads in scraping");
  assert.match(message.fields[1]?.value ?? "", /^Lasted 3 h 12 min\./);
});

Deno.test("a test alert says that nothing is wrong", () => {
  const message = compose("test", []);
  assert.equal(message.title, "TEST: alerts reach this channel");
  assert.match(message.cause, /^Nothing is wrong/);
  assert.deepEqual(message.fields.map(({ label }) => label), ["Sent"]);
});

Deno.test("a test alert names the row that leads to its channel", () => {
  const note = 'row "ops" (discord) of alert_config leads here';
  const [why] = composeMessage({ event: "test", incidents: [], now: NOW, note }).fields;
  assert.deepEqual(why, { label: "Why here", value: note });
});

Deno.test("no secret of summary, cause, error, name or annotation reaches a message", () => {
  const secret = "sb_secret_abcdefghijklmnop";
  const message = compose("opened", [incident({
    summary: `failed with ${secret}`,
    detail: { cause: `because of ${secret}`, errorMessage: `line one\n${secret}` },
    job: alertJob({ jobName: `job ${secret}`, description: `uses ${secret}`, owner: secret }),
  })]);
  assert.ok(!JSON.stringify(message).includes(secret));
  assert.ok(renderPlain(message).includes("sb_secret_***"));
});

Deno.test("the plain twin reads as a text", () => {
  const message = compose("opened", [
    incident({ job: alertJob({ description: null, successCriteria: null }) }),
  ]);
  assert.equal(
    renderPlain(message),
    `FAILED: sync_leads in smoothed · critical

The last run failed: ERROR: division by zero.

Ran at: 2026-11-21 12:45 UTC (2 min 12 s ago)
Last success: 2026-11-21 12:30:01 UTC (17 min ago)
Schedule: */15 * * * * as postgres
Owner: dana@acme.com
Criticality: critical
Last 10 runs: 🟩🟩🟩🟩🟩🟩🟩🟩🟩🟥

Last error:
ERROR:  division by zero
CONTEXT:  PL/pgSQL function sync_leads() line 3

Runbook: https://wiki.acme.com/sync
Dashboard: https://supabase.com/dashboard/project/abcdefghijklmnopqrst/integrations/cron/jobs

incident 6f1d9c1e-4b0a-4f57-9d3f-1d2f7c0a9b11 · as of 2026-11-21 12:47:12 UTC · Supabase Job Monitor`,
  );
});

Deno.test("what else is wrong with a job, and which jobs a dead scheduler holds up, is told", () => {
  const told = (detail: Incident["detail"]) => fieldsOf(compose("opened", [incident({ detail })]));
  assert.equal(told({ also: ["the last run failed: boom"] })["Also"], "The last run failed: boom.");
  const heldJobs = Array.from({ length: 14 }, (_, index) => `job ${index}`);
  assert.match(told({ heldJobs })["Overdue jobs"] ?? "", /^job 0, job 1, .*job 11 and 2 more$/);
});
