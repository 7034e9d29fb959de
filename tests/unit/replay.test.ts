import assert from "node:assert/strict";
import { replayHistory } from "../../scripts/replay.ts";
import type { History } from "../../scripts/replay_history.ts";
import { at, cronJob, facts, HOUR, inventoryJob, MINUTE, run } from "../support/facts.ts";

type Run = Parameters<typeof run>[1];

/** A day of `0 * * * *`, a run at each full hour unless another is given for it, or `null` for none. */
function dayOf(different: Record<string, Run | null>, over: Partial<History> = {}): History {
  const hours = Array.from({ length: 24 }, (_, hour) => `${String(hour).padStart(2, "0")}:00`);
  const runs = hours.flatMap((hour) => {
    const other = different[hour];
    return other === null ? [] : [run(at(hour) + 1_000, other)];
  });
  return {
    project: "smoothed",
    source: "cron.job_run_details",
    settings: facts().settings,
    serverStartedAt: 0,
    since: at("00:00"),
    until: at("23:30"),
    shortened: false,
    jobs: [{
      job: cronJob(),
      row: inventoryJob({ removedAt: null }),
      shownFrom: -Infinity,
      shownUntil: Infinity,
    }],
    runs: runs.map((one, index) => ({ ...one, runId: index + 1, seenFrom: one.startedAt ?? 0 })),
    ...over,
  };
}

function onlyJob(history: History, thresholds: Parameters<typeof replayHistory>[1] = {}) {
  const { jobs } = replayHistory(history, thresholds);
  assert.equal(jobs.length, 1);
  return jobs[0] ?? assert.fail();
}

function incidentsOf(history: History, thresholds: Parameters<typeof replayHistory>[1] = {}) {
  return onlyJob(history, thresholds).incidents.map(({ code, opened_at, resolved_at }) => [
    code,
    opened_at.slice(11, 16),
    resolved_at?.slice(11, 16) ?? null,
  ]);
}

Deno.test("a history without a fault would have told nothing", () => {
  const replay = replayHistory(dayOf({}));
  assert.equal(replay.checks, 96 - 1);
  assert.deepEqual(replay.incidents, []);
  const [job] = replay.jobs;
  assert.deepEqual([job?.runs, job?.failed, job?.missed_slots, job?.alerts, job?.incidents], [
    24,
    0,
    0,
    0,
    [],
  ]);
  assert.deepEqual([job?.grace_minutes, job?.failure_threshold], [30, 1]);
});

Deno.test("an incident opens at the check that would have seen it, and ends where the job was well again", () => {
  const failed = { status: "failed" as const, message: "ERROR: boom" };
  const history = dayOf({ "05:00": failed, "14:00": null, "15:00": null });
  assert.deepEqual(incidentsOf(history), [["failed", "05:15", "06:15"], ["missed", "14:45", "16:15"]]);
  const job = onlyJob(history);
  assert.deepEqual([job.failed, job.missed_slots, job.alerts], [1, 2, 2]);
  assert.match(job.incidents[0]?.summary ?? "", /ERROR: boom/);
});

Deno.test("where successes were deleted nothing was missed for all anybody knows; after them it was", () => {
  const failed = { status: "failed" as const, message: "ERROR: boom" };
  const history = dayOf({ "05:00": failed, "18:00": null });
  // of the hours 6 to 16 nobody has kept the rows
  history.runs = history.runs.filter(({ runId }) => runId <= 6 || runId > 17);
  assert.deepEqual(incidentsOf(history), [["failed", "05:15", "17:15"], ["missed", "18:45", "19:15"]]);
});

Deno.test("another failure threshold and another grace tell less", () => {
  const failed = { status: "failed" as const };
  const history = dayOf({ "05:00": failed, "09:00": failed, "10:00": failed, "14:00": null });
  const codes = (thresholds: Parameters<typeof replayHistory>[1]) =>
    incidentsOf(history, thresholds).map(([code]) => code);
  assert.deepEqual(codes({}), ["failed", "failed", "missed"]);
  assert.deepEqual(codes({ failureThreshold: 2 }), ["failed", "missed"]);
  assert.deepEqual(codes({ failureThreshold: 3 }), ["missed"]);
  assert.equal(onlyJob(history, { failureThreshold: 3 }).failure_threshold, 3);
});

Deno.test("a grace that is longer than the gap makes a late run no miss", () => {
  const late = dayOf({ "14:00": null });
  late.runs.push({ ...run(at("14:40")), seenFrom: at("14:40") });
  late.runs.sort((a, b) => a.seenFrom - b.seenFrom);
  late.runs = late.runs.map((one, index) => ({ ...one, runId: index + 1 }));
  assert.deepEqual(incidentsOf(late, { graceMinutes: 10 }).map(([code]) => code), ["missed"]);
  assert.deepEqual(incidentsOf(late, { graceMinutes: 45 }), []);
});

Deno.test("annotations hold where no threshold is given, and a threshold overrides them", () => {
  const failed = { status: "failed" as const };
  const history = dayOf({ "05:00": failed });
  const [job] = history.jobs;
  const patient = {
    ...history,
    jobs: job === undefined ? [] : [{ ...job, row: { ...job.row, failureThreshold: 2 } }],
  };
  assert.deepEqual(incidentsOf(patient), []);
  assert.deepEqual(incidentsOf(patient, { failureThreshold: 1 }).map(([code]) => code), ["failed"]);
});

Deno.test("a run is in progress until it ended: one that took hours would have been stuck", () => {
  const history = dayOf({ "06:00": { endedAt: at("08:30") }, "07:00": null, "08:00": null });
  assert.deepEqual(
    incidentsOf(history),
    [["stuck", "06:15", "08:30"]].map(([code]) => [code, "06:15", "08:30"]),
  );
});

Deno.test("a job is judged from when it is known to have existed, and not after it was gone", () => {
  const history = dayOf(Object.fromEntries(
    Array.from(
      { length: 24 },
      (_, hour) => [`${String(hour).padStart(2, "0")}:00`, hour < 8 || hour > 15 ? null : {}],
    ),
  ));
  const [job] = history.jobs;
  const shown = {
    ...history,
    jobs: job === undefined ? [] : [{ ...job, shownFrom: at("08:00"), shownUntil: at("16:10") }],
  };
  assert.deepEqual(incidentsOf(shown), []);
  assert.equal(onlyJob(shown).since, "2026-11-21T08:00:00.000Z");
  const never = { ...history, jobs: job === undefined ? [] : [{ ...job, shownFrom: Infinity }] };
  assert.deepEqual([onlyJob(never).since, onlyJob(never).alerts], [null, 0]);
});

Deno.test("when nothing ran at all it is the project's incident, and its jobs' misses are held under it", () => {
  const jobs = [1, 2, 3].map((jobId) => ({
    job: cronJob({ jobId, jobName: `job ${jobId}` }),
    row: inventoryJob({ id: `job-${jobId}`, jobId, jobName: `job ${jobId}` }),
    shownFrom: -Infinity,
    shownUntil: Infinity,
  }));
  const starts = Array.from({ length: 24 }, (_, hour) => at("00:00") + hour * HOUR)
    .filter((slot) => slot < at("09:00") || slot > at("11:00"));
  const runs = starts.flatMap((slot) =>
    jobs.map(({ job }) => run(slot + job.jobId * 1_000, { jobId: job.jobId }))
  )
    .map((one, index) => ({ ...one, runId: index + 1, seenFrom: one.startedAt ?? 0 }));
  const replay = replayHistory(dayOf({}, { jobs, runs }));
  assert.deepEqual(
    replay.incidents.map(({ code, opened_at, resolution }) => [code, opened_at.slice(11, 16), resolution]),
    [["scheduler_down", "09:45", "recovered"]],
  );
  assert.deepEqual(replay.jobs.map(({ missed_slots, alerts }) => [missed_slots, alerts]), [[3, 0], [3, 0], [
    3,
    0,
  ]]);
});

Deno.test("fifty jobs over three days without a fault would have told nothing", () => {
  const jobs = Array.from({ length: 50 }, (_, index) => ({
    job: cronJob({ jobId: index + 1, jobName: `job ${index + 1}` }),
    row: inventoryJob({ id: `job-${index + 1}`, jobId: index + 1, jobName: `job ${index + 1}` }),
    shownFrom: -Infinity,
    shownUntil: Infinity,
  }));
  const since = at("00:00") - 3 * 24 * HOUR;
  const runs = Array.from({ length: 3 * 24 }, (_, hour) => since + hour * HOUR).flatMap((slot) =>
    jobs.map(({ job }) => run(slot + job.jobId * 100, { jobId: job.jobId }))
  ).map((one, index) => ({ ...one, runId: index + 1, seenFrom: one.startedAt ?? 0 }));
  const replay = replayHistory(dayOf({}, { jobs, runs, since, until: at("00:00") - MINUTE }));
  assert.equal(replay.jobs.reduce((sum, { alerts }) => sum + alerts, 0), 0);
});
