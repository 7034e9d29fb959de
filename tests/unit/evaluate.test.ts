import assert from "node:assert/strict";
import { evaluateProject, evaluateUnreadable } from "../../supabase/functions/_shared/rules/evaluate.ts";
import type { CronFacts } from "../../supabase/functions/_shared/domain/facts.ts";
import type { HubKnowledge } from "../../supabase/functions/_shared/domain/hub.ts";
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

const SMOOTHED = { name: "smoothed", ref: null };

function evaluate(seen: CronFacts, known: HubKnowledge, now = seen.now) {
  let id = 0;
  return evaluateProject(SMOOTHED, seen, known, now, () => `new-${++id}`);
}

/** One job, judged by a first look at which it had just run well at noon. */
function settled(over: Parameters<typeof inventoryJob>[0] = {}) {
  const before = knowledge({ jobs: [inventoryJob(over)] });
  const first = facts({ reading: "first", runs: [run(NOON)] });
  return afterwards(before, evaluate(first, before));
}

function only<T>(list: readonly T[]): T {
  assert.equal(list.length, 1, `expected one, got ${JSON.stringify(list)}`);
  return list[0] as T;
}

Deno.test("a job whose last run succeeded and that missed nothing is healthy", () => {
  const report = only(evaluate(facts({ reading: "first", runs: [run(NOON)] }), knowledge()).jobs);
  assert.equal(report.status, "healthy");
});

Deno.test("a job that nobody has seen run is unknown, never healthy", () => {
  const report = only(evaluate(facts({ reading: "first" }), knowledge()).jobs);
  assert.deepEqual([report.status, report.verdict], ["unknown", "no_run_yet"]);
});

Deno.test("a failed last run opens one incident with its message and one delivery", () => {
  const failure = run(NOON, { status: "failed", message: "ERROR: division by zero" });
  const seen =
    evaluate(facts({ reading: "first", runs: [run(NOON - HOUR), failure] }), knowledge()).observations;
  const incident = only(seen.incidents ?? []);
  assert.ok(incident.action === "open");
  assert.equal(incident.code, "failed");
  assert.equal(incident.detail.errorMessage, "ERROR: division by zero");
  assert.equal(incident.deliveries.length, 1);
});

Deno.test("the next check of a job that still fails opens nothing new", () => {
  const failing = facts({ reading: "first", runs: [run(NOON, { status: "failed" })] });
  const known = afterwards(knowledge(), evaluate(failing, knowledge()));
  const again = facts({ now: at("12:20"), cursor: 99 });
  assert.deepEqual(only(evaluate(again, known).observations.incidents ?? []).action, "update");
  const failedAgain = facts({ now: at("13:05"), runs: [run(at("13:00"), { status: "failed" })] });
  assert.deepEqual(only(evaluate(failedAgain, known).observations.incidents ?? []).action, "update");
});

Deno.test("a success after failures resolves the incident and tells so", () => {
  const failing = facts({ reading: "first", runs: [run(NOON, { status: "failed" })] });
  const known = afterwards(knowledge(), evaluate(failing, knowledge()));
  const better = evaluate(facts({ now: at("13:05"), runs: [run(at("13:00"))] }), known);
  const transition = only(better.observations.incidents ?? []);
  assert.ok(transition.action === "resolve");
  assert.deepEqual([transition.resolution, transition.deliveries.length], ["recovered", 1]);
  assert.equal(only(better.jobs).status, "healthy");
});

Deno.test("a failure threshold waits for as many failures in a row, and says unknown meanwhile", () => {
  const known = settled({ failureThreshold: 2 });
  const once = evaluate(facts({ now: at("13:05"), runs: [run(at("13:00"), { status: "failed" })] }), known);
  assert.deepEqual(once.observations.incidents, []);
  assert.equal(only(once.jobs).status, "unknown");
  const twice = evaluate(
    facts({ now: at("14:05"), runs: [run(at("14:00"), { status: "failed" })] }),
    afterwards(known, once),
  );
  assert.equal(only(twice.jobs).status, "failed");
});

Deno.test("an hourly slot is missed after 30 minutes of grace and not before", () => {
  const known = settled();
  const early = evaluate(facts({ now: at("13:29") }), known);
  assert.equal(only(early.jobs).status, "healthy");
  const late = evaluate(facts({ now: at("13:31") }), afterwards(known, early));
  assert.deepEqual([only(late.jobs).status, only(late.observations.runs ?? []).status], ["missed", "missed"]);
});

Deno.test("a missed slot is logged once however many checks follow", () => {
  let known = settled();
  let logged = 0;
  for (const time of ["13:31", "13:45", "14:00", "14:15"]) {
    const evaluation = evaluate(facts({ now: at(time) }), known);
    logged += evaluation.observations.runs?.length ?? 0;
    assert.equal(only(evaluation.jobs).status, "missed", time);
    known = afterwards(known, evaluation);
  }
  assert.equal(logged, 1);
  const next = evaluate(facts({ now: at("14:31") }), known);
  assert.equal(next.observations.runs?.length, 1);
  const incident = only(next.observations.incidents ?? []);
  assert.ok(incident.action === "update");
  assert.equal(incident.detail.missedSlots, 2);
});

Deno.test("a first look finds a job that stopped, where its last run fits today's schedule", () => {
  const seen = evaluate(
    facts({ reading: "first", runs: [run(at("06:00:01")), run(at("07:00:01"))] }),
    knowledge(),
  );
  assert.equal(only(seen.jobs).status, "missed");
  assert.equal(seen.observations.runs?.filter((entry) => entry.status === "missed").length, 4);
});

Deno.test("a first look blames nobody for slots that another schedule may not have had", () => {
  const seen = evaluate(facts({ reading: "first", runs: [run(at("06:17"))] }), knowledge());
  assert.equal(only(seen.jobs).status, "healthy");
});

Deno.test("a rescheduled job is judged by its new schedule from now on only", () => {
  const known = settled();
  const jobs = [cronJob({ schedule: "*/5 * * * *" })];
  const edited = evaluate(facts({ now: at("12:31"), jobs }), known);
  assert.equal(only(edited.jobs).status, "healthy");
  assert.deepEqual(edited.observations.changes?.map(({ change }) => change), ["schedule"]);
  const later = evaluate(facts({ now: at("12:50"), jobs }), afterwards(known, edited));
  assert.equal(only(later.jobs).status, "missed");
  assert.equal(later.observations.runs?.[0]?.runAt, at("12:35"));
});

Deno.test("a job paused and resumed is no alarm", () => {
  const known = settled();
  const paused = evaluate(facts({ now: at("12:30"), jobs: [cronJob({ active: false })] }), known);
  assert.equal(only(paused.jobs).status, "paused");
  const resumed = evaluate(facts({ now: at("18:50") }), afterwards(known, paused));
  assert.equal(only(resumed.jobs).status, "healthy");
  assert.deepEqual(resumed.observations.runs, []);
});

Deno.test("a job that has run since a missed slot is not gone, while a later slot is within its grace", () => {
  const schedule = "* * * * *";
  const before = knowledge({ jobs: [inventoryJob({ schedule })] });
  const jobs = [cronJob({ schedule })];
  const first = facts({ now: NOON + MINUTE / 2, reading: "first", runs: [run(NOON)], jobs });
  const known = afterwards(before, evaluate(first, before));
  const runs = ["12:03", "12:04"].map((start) => run(at(start)));
  const seen = evaluate(facts({ now: at("12:04:13"), runs, jobs }), known);
  assert.equal(only(seen.jobs).status, "healthy");
  const told = only(seen.observations.incidents ?? []);
  assert.ok(told.action === "open");
  assert.deepEqual([told.resolution, told.severity], ["recovered", "low"]);
  assert.equal(told.summary, "no run for the slot at 2026-11-21 12:01 UTC; it has run again since");
});

Deno.test("pausing a failing job ends its incident as paused", () => {
  const failing = facts({ reading: "first", runs: [run(NOON, { status: "failed" })] });
  const known = afterwards(knowledge(), evaluate(failing, knowledge()));
  const transition = only(
    evaluate(facts({ jobs: [cronJob({ active: false })] }), known).observations.incidents ?? [],
  );
  assert.ok(transition.action === "resolve");
  assert.equal(transition.resolution, "paused");
});

Deno.test("a job that vanished is removed, its incident ends, its row stays", () => {
  const failing = facts({ reading: "first", runs: [run(NOON, { status: "failed" })] });
  const known = afterwards(knowledge(), evaluate(failing, knowledge()));
  const gone = evaluate(facts({ jobs: [] }), known).observations;
  assert.deepEqual([gone.removed?.length, only(gone.changes ?? []).change], [1, "removed"]);
  const transition = only(gone.incidents ?? []);
  assert.ok(transition.action === "resolve");
  assert.equal(transition.resolution, "removed");
});

Deno.test("cron.log_run off makes a job unknown and never missed", () => {
  const known = settled();
  const silent = facts({ now: at("18:00"), settings: { ...facts().settings, logRun: false } });
  assert.deepEqual([only(evaluate(silent, known).jobs).status, only(evaluate(silent, known).jobs).verdict], [
    "unknown",
    "log_run_off",
  ]);
});

Deno.test("the monitor's own downtime makes no false miss, and a real one in it is found", () => {
  const known = settled();
  const runs = [13, 14, 16, 17].map((hour) => run(at(`${hour}:00`)));
  const back = evaluate(facts({ now: at("17:10"), runs }), known);
  assert.deepEqual(
    back.observations.runs?.filter((entry) => entry.status === "missed").map((entry) => entry.runAt),
    [
      at("15:00"),
    ],
  );
  assert.equal(only(back.jobs).status, "healthy");
});

Deno.test("a run in progress is carried over and logged when it ended", () => {
  const known = settled();
  const open = run(at("13:00"), { status: "running", endedAt: null });
  const during = evaluate(facts({ now: at("13:05"), runs: [open] }), known);
  assert.deepEqual(during.observations.runs, []);
  assert.ok(during.observations.project?.status === "ok");
  assert.deepEqual(during.observations.project.openRuns.map(({ runId }) => runId), [open.runId]);
  const ended = { ...open, status: "succeeded" as const, endedAt: at("13:20") };
  const after = evaluate(facts({ now: at("13:25"), reread: [ended] }), afterwards(known, during));
  assert.equal(only(after.observations.runs ?? []).durationMs, 20 * MINUTE);
});

Deno.test("an unended row that a later run of the job follows is a zombie, not a run in progress", () => {
  const known = settled();
  const zombie = run(at("13:00"), { status: "connecting", startedAt: null, endedAt: null });
  const seen = evaluate(facts({ now: at("14:05"), runs: [zombie, run(at("14:00"))] }), known).observations;
  assert.ok(seen.project?.status === "ok");
  assert.deepEqual(seen.project.openRuns, []);
  assert.deepEqual(seen.runs?.map(({ status }) => status), ["unknown", "success"]);
});

Deno.test("rows of a restored history that were logged before are not logged again", () => {
  const known = settled();
  const restored = facts({ reading: "restored", now: at("13:05"), runs: [run(NOON), run(at("13:00"))] });
  assert.deepEqual(evaluate(restored, known).observations.runs?.map(({ runAt }) => runAt), [at("13:00")]);
});

Deno.test("a project that cannot be read opens an incident of the project and judges no job", () => {
  const known = settled();
  const error = { code: "unreachable", message: 'Cannot connect to project "smoothed"' };
  const unread = evaluateUnreadable(SMOOTHED, error, known);
  const incident = only(unread.observations.incidents ?? []);
  assert.ok(incident.action === "open");
  assert.deepEqual([incident.subjectKind, incident.code], ["project", "unreachable"]);
  assert.deepEqual(incident.detail.facts, [{ label: "Jobs that nobody can judge", value: "1" }]);
  assert.deepEqual(unread.jobs.map(({ status }) => status), ["unknown"]);
  assert.equal(unread.observations.runs, undefined);
});

Deno.test("an unreadable project's incident names the critical jobs that nobody can judge", () => {
  const jobs = Array.from({ length: 40 }, (_, index) =>
    inventoryJob({
      id: `id ${index}`,
      jobName: `job_${String(index).padStart(2, "0")}`,
      criticality: index < 14 ? "critical" : null,
      active: index !== 39,
    }));
  const unread = evaluateUnreadable(SMOOTHED, { code: "unreachable", message: "down" }, knowledge({ jobs }));
  const incident = only(unread.observations.incidents ?? []);
  assert.ok(incident.action === "open");
  assert.equal(incident.severity, "critical");
  const first = Array.from({ length: 12 }, (_, index) => `job_${String(index).padStart(2, "0")}`).join(", ");
  assert.equal(incident.detail.facts?.[0]?.value, `39, critical: ${first} and 2 more`);
});

Deno.test("a project that can be read again ends its incident", () => {
  const known = settled();
  const down = afterwards(
    known,
    evaluateUnreadable(SMOOTHED, { code: "unreachable", message: "down" }, known),
  );
  const back = evaluate(facts({ now: at("12:20") }), down);
  const transition = only(back.observations.incidents ?? []);
  assert.ok(transition.action === "resolve");
  assert.equal(transition.resolution, "recovered");
  assert.equal(only(back.jobs).status, "healthy");
});

Deno.test("a missed job is still missed after its project could not be read for a while", () => {
  const known = settled();
  const missed = afterwards(known, evaluate(facts({ now: at("13:31") }), known));
  const down = afterwards(
    missed,
    evaluateUnreadable(SMOOTHED, { code: "unreachable", message: "down" }, missed),
  );
  const back = evaluate(facts({ now: at("13:50") }), down);
  assert.equal(only(back.jobs).status, "missed");
  assert.deepEqual(back.observations.incidents?.map(({ action }) => action), ["resolve", "update"]);
});

Deno.test("an alert that no row of alert_config takes is owed as unroutable, not dropped", () => {
  const failure = facts({ reading: "first", runs: [run(NOON, { status: "failed" })] });
  const incident = only(evaluate(failure, knowledge({ alertConfigs: [] })).observations.incidents ?? []);
  assert.ok(incident.action === "open");
  assert.equal(only(incident.deliveries).state, "unroutable");
});

Deno.test("`N seconds` is missed when nothing starts for that long and the grace", () => {
  const jobs = [cronJob({ schedule: "10 seconds" })];
  const first = facts({ reading: "first", jobs, runs: [run(NOON)], now: NOON + MINUTE });
  const known = afterwards(knowledge(), evaluate(first, knowledge()));
  assert.equal(only(evaluate(facts({ jobs, now: NOON + 2 * MINUTE }), known).jobs).status, "healthy");
  assert.equal(only(evaluate(facts({ jobs, now: NOON + 3 * MINUTE }), known).jobs).status, "missed");
});
