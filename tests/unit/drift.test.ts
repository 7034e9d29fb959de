/** Drift: what is told of edits to jobs, where that is wished. */
import assert from "node:assert/strict";
import type { CronJob } from "../../supabase/functions/_shared/domain/facts.ts";
import type { HubKnowledge } from "../../supabase/functions/_shared/domain/hub.ts";
import type { Incident } from "../../supabase/functions/_shared/domain/incident.ts";
import type { IncidentTransition } from "../../supabase/functions/_shared/domain/observation.ts";
import { evaluateProject } from "../../supabase/functions/_shared/rules/evaluate.ts";
import { composeMessage } from "../../supabase/functions/_shared/rules/message.ts";
import { afterwards, at, cronJob, facts, knowledge, NOON, run } from "../support/facts.ts";

const TOLD = { alertOnDrift: true };

function look(jobs: CronJob[], known: HubKnowledge, over: Parameters<typeof facts>[0] = {}) {
  let id = 0;
  const seen = facts({ jobs, ...over });
  const next = () => `new-${known.version}-${++id}`;
  return evaluateProject({ name: "smoothed", ref: null }, seen, known, seen.now, next);
}

/** What the hub knows after a first look at these jobs. */
function knowing(jobs: CronJob[], over: Partial<HubKnowledge> = TOLD): HubKnowledge {
  const before = knowledge(over);
  return afterwards(before, look(jobs, before, { reading: "first", runs: [run(NOON)] }));
}

type Opened = Extract<IncidentTransition, { action: "open" }>;

function drift(evaluation: ReturnType<typeof look>): Opened[] {
  return (evaluation.observations.incidents ?? []).filter((one) => one.action === "open")
    .filter(({ code }) => code === "drift");
}

function summaries(jobs: CronJob[], known: HubKnowledge): string[] {
  return drift(look(jobs, known)).map(({ summary }) => summary);
}

Deno.test("a job that is rescheduled, paused, rewritten or gone is told, old and new", () => {
  const known = knowing([cronJob()]);
  assert.deepEqual(summaries([cronJob({ schedule: "0 3 * * *" })], known), [
    'its schedule changed from "0 * * * *" to "0 3 * * *"',
  ]);
  assert.deepEqual(summaries([cronJob({ active: false })], known), ["it was paused"]);
  assert.deepEqual(summaries([cronJob({ command: "select 2" })], known), [
    'its command changed from "select 1" to "select 2"',
  ]);
  assert.deepEqual(summaries([], known), ['it vanished from its project (its schedule was "0 * * * *")']);
  assert.deepEqual(summaries([cronJob({ jobName: "copy_leads" })], known), [
    'it is now called "copy_leads"',
  ]);
});

Deno.test("several edits of one job at one look are one incident, low, over at once, told to where low goes", () => {
  const known = knowing([cronJob()]);
  const seen = look([cronJob({ schedule: "0 3 * * *", active: false, command: "select 2" })], known);
  const [incident, ...others] = drift(seen);
  assert.deepEqual(others, []);
  assert.equal(
    incident?.summary,
    'it was paused; its schedule changed from "0 * * * *" to "0 3 * * *"; ' +
      'its command changed from "select 1" to "select 2"',
  );
  assert.deepEqual([incident?.severity, incident?.resolution], ["low", "told"]);
  assert.deepEqual(incident?.deliveries.map(({ state }) => state), ["due"]);
  assert.deepEqual(summaries([cronJob({ schedule: "0 3 * * *" })], afterwards(known, seen)), [
    'its command changed from "select 2" to "select 1"',
  ]);
});

Deno.test("what is new, resumed or as before is no drift, and nothing is told unless wished", () => {
  const known = knowing([cronJob({ active: false })]);
  assert.deepEqual(summaries([cronJob(), cronJob({ jobId: 2, jobName: "another" })], known), []);
  assert.deepEqual(summaries([cronJob({ active: false })], known), []);
  assert.deepEqual(summaries([], knowing([cronJob()], {})), []);
});

Deno.test("secrets in commands are told by nobody, and long commands from where they differ", () => {
  const call = (token: string, path: string) =>
    `select 'a line of text that says what all of this is about and why', net.http_post(url := 'https://x.supabase.co/functions/v1/${path}', ` +
    `headers := '{"Authorization": "Bearer ${token}"}'::jsonb)`;
  const [token, other] = ["eyJhbGciOi.J9eyJzdWIi.secret1", "eyJhbGciOi.J9eyJzdWIi.secret2"];
  const known = knowing([cronJob({ command: call(token, "a") })]);
  assert.deepEqual(summaries([cronJob({ command: call(other, "a") })], known), [], "only the secret differs");
  const [told = ""] = summaries([cronJob({ command: call(other, "b") })], known);
  assert.match(told, /^its command changed from "….*functions\/v1\/a.*" to "….*functions\/v1\/b.*"$/);
  assert.doesNotMatch(told, /eyJ|secret/);
});

Deno.test("an alert of drift says what happened, and not that it has recovered", () => {
  const now = new Date(at("12:05"));
  const incident: Incident = {
    ...{
      id: "i",
      projectName: "smoothed",
      projectId: null,
      subjectKind: "job",
      subjectId: "job-1",
      job: null,
    },
    ...{ code: "drift", severity: "low", summary: "it was paused", detail: {} },
    ...{ openedAt: now.toISOString(), resolvedAt: now.toISOString(), resolution: "told" },
  };
  const message = JSON.stringify(composeMessage({ event: "opened", incidents: [incident], now }));
  assert.match(message, /It was paused\./);
  assert.doesNotMatch(message, /recovered/i);
});
