/** What the simulator found: each was a wrong verdict on a world that pg_cron can make. */
import assert from "node:assert/strict";
import { judgeSlots } from "../../supabase/functions/_shared/rules/slot_judgement.ts";
import { evaluateProject, evaluateUnreadable } from "../../supabase/functions/_shared/rules/evaluate.ts";
import { keepRecent } from "../../supabase/functions/_shared/rules/runs.ts";
import { runtimeLimit } from "../../supabase/functions/_shared/rules/runtime.ts";
import type { CronFacts, CronRun } from "../../supabase/functions/_shared/domain/facts.ts";
import type { HubKnowledge } from "../../supabase/functions/_shared/domain/hub.ts";
import type { RecentRun } from "../../supabase/functions/_shared/domain/run.ts";
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

function evaluate(seen: CronFacts, known: HubKnowledge, now = seen.now) {
  let id = 0;
  return evaluateProject({ name: "smoothed", ref: null }, seen, known, now, () => `new-${++id}`);
}

/** One job, judged by a first look at which it had just run well at noon. */
function settled(over: Parameters<typeof inventoryJob>[0] = {}, schedule = "0 * * * *", runs = [run(NOON)]) {
  const before = knowledge({ jobs: [inventoryJob({ schedule, ...over })] });
  const first = facts({ now: NOON + MINUTE / 2, reading: "first", runs, jobs: [cronJob({ schedule })] });
  return afterwards(before, evaluate({ ...first, cursor: runs.at(-1)?.runId ?? null }, before));
}

function opened(seen: ReturnType<typeof evaluate>): string[] {
  return (seen.observations.incidents ?? []).flatMap((one) => one.action === "open" ? [one.code] : []);
}

Deno.test("runs that queued while the launcher was stalled stand for the slots they queued for", () => {
  const slots = Array.from({ length: 8 }, (_, index) => at("16:28") + index * MINUTE);
  const starts = ["32:43", "33:18", "33:57", "34:08", "34:37", "34:50", "35:03", "35:30"];
  const runs = starts.map((start) => ({
    startedAt: at(`16:${start}`),
    endedAt: at(`16:${start}`),
    open: false,
  }));
  assert.deepEqual(judgeSlots(slots, runs, 5 * MINUTE, at("16:45")).missed, []);
});

Deno.test("a run that started long after its slot does not keep queued runs from the slots they queued for", () => {
  const slots = ["10:00", "11:00", "11:30", "11:31", "11:32"].map(at);
  const starts = ["10:50", "11:00", "11:32:10", "11:32:20", "11:32:30"].map(at);
  const runs = starts.map((startedAt) => ({ startedAt, endedAt: startedAt, open: false }));
  assert.deepEqual(judgeSlots(slots, runs, 30 * MINUTE, at("12:30")).missed, []);
});

Deno.test("runs that queued do not stand for a slot long before, whatever runs lie between", () => {
  const slots = Array.from({ length: 60 }, (_, index) => at("10:00") + index * MINUTE);
  const starts = slots.filter((slot) => slot !== at("10:03") && slot !== at("10:50") && slot !== at("10:51"));
  const runs = [...starts, at("10:52:20"), at("10:52:40")].map((startedAt) => ({
    startedAt,
    endedAt: startedAt,
    open: false,
  }));
  assert.deepEqual(judgeSlots(slots, runs, 5 * MINUTE, at("11:30")).missed, [at("10:03")]);
});

Deno.test("one slot that was left out stays missed although the runs after it could each stand for the one before", () => {
  const slots = Array.from({ length: 20 }, (_, index) => at("10:00") + index * MINUTE);
  const runs = slots.filter((slot) => slot !== at("10:07")).map((startedAt) => ({
    startedAt,
    endedAt: startedAt,
    open: false,
  }));
  assert.deepEqual(judgeSlots(slots, runs, 5 * MINUTE, at("10:30")).missed, [at("10:07")]);
});

Deno.test("a run that waited for a place stands for a slot before, whose grace has passed meanwhile", () => {
  const slots = Array.from({ length: 8 }, (_, index) => at("09:53") + index * MINUTE);
  const runs = ["09:53:02", "09:54:18", "09:59:45"].map((start) => ({
    startedAt: at(start),
    endedAt: at(start) + 30_000,
    open: false,
  }));
  const judged = judgeSlots(slots, runs, 5 * MINUTE, at("10:00:08"));
  assert.deepEqual([judged.missed, judged.judgedUntil], [[], at("09:56") - 1]);
});

Deno.test("a run that pg_cron canceled because its job was paused or unscheduled is no failure", () => {
  const canceled: CronRun = run(at("13:00"), { status: "failed", message: "job canceled" });
  const seen = evaluate(facts({ now: at("13:05"), runs: [canceled] }), settled());
  assert.deepEqual(opened(seen), []);
  assert.equal(seen.jobs[0]?.status, "unknown");
  assert.equal(seen.observations.states?.[0]?.consecutiveFailures, 0);
});

Deno.test("a limit learned from few runs is wider than one learned from many", () => {
  assert.equal(runtimeLimit(null, runsOf(6, 3)).ms, 30 * MINUTE);
  assert.equal(runtimeLimit(null, runsOf(20, 3)).ms, 15 * MINUTE);
});

Deno.test("a run that hung once does not teach that hanging is usual", () => {
  const killed = { ...runsOf(1, 600)[0], status: "failed" } as RecentRun;
  assert.equal(runtimeLimit(null, [...runsOf(20, 3), killed]).ms, 15 * MINUTE);
  assert.equal(runtimeLimit(null, [...runsOf(20, 3), ...runsOf(1, 600)]).ms, 1_200 * MINUTE);
});

function runsOf(count: number, minutes: number): RecentRun[] {
  return Array.from({ length: count }, (_, index) => ({
    runId: index,
    status: "success",
    startedAt: new Date(NOON + index * HOUR).toISOString(),
    endedAt: new Date(NOON + index * HOUR + minutes * MINUTE).toISOString(),
  }));
}

/** The next look of a project that kept its newest run, which is read again to see that it is still the same. */
function next(known: HubKnowledge, over: Partial<CronFacts> & { reread: CronRun[] }): CronFacts {
  return facts({
    cursor: Math.max(known.runCursor ?? 0, ...(over.runs ?? []).map(({ runId }) => runId)),
    ...over,
  });
}

Deno.test("the newest run is read again at the next look, and logged once", () => {
  const noon = run(NOON);
  const known = settled({}, "0 * * * *", [noon]);
  assert.deepEqual(known.openRuns.map(({ runId }) => runId), [noon.runId]);
  const later = evaluate(next(known, { now: at("13:05"), reread: [noon], runs: [run(at("13:00"))] }), known);
  assert.deepEqual(later.observations.runs?.map(({ runAt }) => runAt), [at("13:00")]);
});

Deno.test("slots whose runs may have been deleted are not missed, those after are", () => {
  const known = settled({}, "*/5 * * * *");
  const jobs = [cronJob({ schedule: "*/5 * * * *" })];
  // at 12:21 somebody emptied the table
  const runs = [run(at("12:25"))];
  const seen = evaluate(next(known, { now: at("12:40"), jobs, reread: [], runs }), known);
  assert.deepEqual(
    seen.observations.runs?.filter(({ status }) => status === "missed").map(({ runAt }) => runAt),
    [at("12:30"), at("12:35")],
  );
});

/** A job of each minute whose newest run at the last look failed, at noon. */
function failingAtNoon(schedule: string) {
  const noon = run(NOON, { runId: 100, status: "failed" });
  return { noon, known: settled({}, schedule, [noon]), jobs: [cronJob({ schedule })] };
}

for (const schedule of ["* * * * *", "30 seconds"]) {
  Deno.test(`runs of "${schedule}" whose rows were deleted while older ones were kept are not missed`, () => {
    const { noon, known, jobs } = failingAtNoon(schedule);
    // at 12:10 somebody deleted the successes
    const runs = [run(at("12:10"), { runId: 112, jobId: 7 }), run(at("12:11"), { runId: 113 })];
    const seen = evaluate(next(known, { now: at("12:12"), jobs, reread: [noon], runs }), known);
    assert.deepEqual(seen.observations.runs?.map(({ status }) => status), ["success"]);
    const later = evaluate(
      next(afterwards(known, seen), { now: at("12:30"), jobs, reread: runs.slice(-1) }),
      afterwards(known, seen),
    );
    assert.deepEqual(opened(later), ["missed"]);
  });

  Deno.test(`numbers that a crash skipped hide no missed run of "${schedule}"`, () => {
    const { noon, known, jobs } = failingAtNoon(schedule);
    const serverStartedAt = at("12:20");
    const runs = [run(at("12:21"), { runId: 130 })];
    const seen = evaluate(
      next(known, { now: at("12:22"), serverStartedAt, jobs, reread: [noon], runs }),
      known,
    );
    assert.equal(seen.observations.runs?.some(({ status }) => status === "missed"), true);
  });
}

Deno.test("rows that were deleted around a restart are not taken for numbers that a crash skipped", () => {
  const { noon, known, jobs } = failingAtNoon("0 * * * *");
  const runs = [run(at("18:00"), { runId: 106 })];
  const seen = evaluate(
    next(known, { now: at("18:05"), serverStartedAt: at("14:30"), jobs, reread: [noon], runs }),
    known,
  );
  assert.deepEqual(opened(seen), []);
});

Deno.test("a slot of which nobody can say is not missed later, when the gap is forgotten", () => {
  const { noon, known, jobs } = failingAtNoon("10 * * * *");
  const runs = [run(at("12:15"), { runId: 102, jobId: 7 })];
  const first = evaluate(next(known, { now: at("12:20"), jobs, reread: [noon], runs }), known);
  const then = afterwards(known, first);
  const seen = evaluate(next(then, { now: at("13:05"), jobs, reread: runs }), then);
  assert.deepEqual([opened(first), opened(seen)], [[], []]);
});

Deno.test("an old failure that is the newest row left, once successes were deleted, is not told again", () => {
  const old = run(at("06:00"), { runId: 10, status: "failed" });
  const known = settled({}, "0 * * * *", [run(NOON, { runId: 100 })]);
  const cleaned = facts({ now: at("12:20"), reading: "restored", runs: [old], cursor: 10 });
  const then = afterwards(known, evaluate(cleaned, known));
  const seen = evaluate(
    next(then, { now: at("13:05"), reread: [old], runs: [run(at("13:00"), { runId: 101 })] }),
    then,
  );
  assert.deepEqual([opened(seen), seen.jobs[0]?.status], [[], "healthy"]);
});

Deno.test("a table that was emptied and has no new run blames nobody", () => {
  const known = settled();
  const seen = evaluate(facts({ now: at("13:50"), reading: "restored", cursor: null }), known);
  assert.deepEqual([opened(seen), seen.jobs[0]?.status], [[], "healthy"]);
});

Deno.test("a history that was replaced and has outgrown the cursor since is noticed by its newest run", () => {
  const noon = run(NOON);
  const known = settled({}, "0 * * * *", [noon]);
  const other = { ...noon, startedAt: at("13:20"), endedAt: at("13:20") };
  const seen = evaluate(next(known, { now: at("13:50"), reread: [other], runs: [] }), known);
  assert.deepEqual(opened(seen), []);
  assert.deepEqual(seen.observations.runs?.map(({ runAt }) => runAt), [at("13:20")]);
});

Deno.test("a job that was unscheduled and scheduled again between two looks is judged from now on", () => {
  const noon = run(NOON);
  const known = settled({}, "*/10 * * * *", [noon]);
  const jobs = [cronJob({ jobId: 2, schedule: "*/10 * * * *" })];
  const seen = evaluate(next(known, { now: at("12:26"), jobs, reread: [noon] }), known);
  assert.deepEqual(opened(seen), []);
});

/** `10 seconds` from one time to another, each run half a second long. */
function pulse(from: string, until: string): CronRun[] {
  const runs: CronRun[] = [];
  for (let start = at(from); start < at(until); start += 10_000) {
    runs.push(run(start, { endedAt: start + 500 }));
  }
  return runs;
}

Deno.test("a gap of `N seconds` between two looks is told although the job runs again", () => {
  const jobs = [cronJob({ schedule: "10 seconds" })];
  const before = pulse("11:55", "12:00");
  const known = settled({}, "10 seconds", before);
  const runs = [...pulse("12:00", "12:04"), ...pulse("12:10", "12:15")];
  const seen = evaluate(next(known, { now: at("12:15"), jobs, reread: before.slice(-1), runs }), known);
  assert.deepEqual(opened(seen), ["missed"]);
  assert.equal(seen.jobs[0]?.status, "healthy");
  const after = afterwards(known, seen);
  const more = pulse("12:15", "12:30");
  const quiet = evaluate(next(after, { now: at("12:30"), jobs, reread: runs.slice(-1), runs: more }), after);
  assert.deepEqual(quiet.observations.runs?.filter(({ status }) => status === "missed"), []);
});

Deno.test("a run of `N seconds` that takes long is followed at once and leaves no gap", () => {
  const jobs = [cronJob({ schedule: "10 seconds" })];
  const before = pulse("11:55", "12:00");
  const known = settled({}, "10 seconds", before);
  const runs = [run(at("12:00"), { endedAt: at("12:09") }), ...pulse("12:09", "12:15")];
  const seen = evaluate(next(known, { now: at("12:15"), jobs, reread: before.slice(-1), runs }), known);
  assert.deepEqual(seen.observations.runs?.filter(({ status }) => status === "missed"), []);
});

Deno.test("a failure without a start time stands for a slot once, not at every later look", () => {
  const noon = run(NOON);
  const undated = run(at("13:00"), {
    status: "failed",
    message: "connection failed",
    startedAt: null,
    endedAt: null,
  });
  const known = settled({}, "0 * * * *", [noon]);
  const failing = evaluate(next(known, { now: at("13:10"), reread: [noon], runs: [undated] }), known);
  const later = evaluate(facts({ now: at("14:40"), reread: [undated] }), afterwards(known, failing));
  assert.deepEqual(later.observations.runs?.map(({ status, runAt }) => [status, runAt]), [[
    "missed",
    at("14:00"),
  ]]);
});

Deno.test("a run that never got to its command is a zombie and not stuck, and its slot is missed", () => {
  const noon = run(NOON);
  const known = settled({}, "0 * * * *", [noon]);
  const zombie = run(at("13:00"), { status: "connecting", startedAt: null, endedAt: null });
  const during = evaluate(facts({ now: at("13:10"), runs: [zombie], cursor: zombie.runId }), known);
  assert.deepEqual(opened(during), []);
  const later = evaluate(
    facts({ now: at("15:20"), reread: [zombie], cursor: zombie.runId }),
    afterwards(known, during),
  );
  assert.deepEqual(opened(later), ["missed"]);
});

Deno.test("a miss that was over when it was told does not come back at the next look", () => {
  const noon = run(NOON);
  const known = settled({}, "0 * * * *", [noon]);
  const [three] = [run(at("15:00"))];
  const back = evaluate(next(known, { now: at("15:05"), reread: [noon], runs: [three] }), known);
  assert.deepEqual([opened(back), back.jobs[0]?.status], [["missed"], "healthy"]);
  const after = afterwards({ ...known, incidents: [] }, back);
  const later = evaluate(next(after, { now: at("15:20"), reread: [three] }), { ...after, incidents: [] });
  assert.equal(later.jobs[0]?.status, "healthy");
});

Deno.test("a run in progress while the project's clock was set right is not stuck", () => {
  const noon = run(NOON);
  const known = settled({}, "0 * * * *", [noon]);
  const open = run(at("13:00"), { status: "running", endedAt: null });
  const off = next(known, { now: at("13:01"), reread: [noon], runs: [open] });
  const during = afterwards(known, evaluate(off, known, at("17:01")));
  assert.deepEqual(opened(evaluate(next(during, { now: at("17:02"), reread: [open] }), during)), []);
});

Deno.test("runs that seem to have started in the future do not stand for slots", () => {
  const noon = run(NOON);
  const future = Array.from({ length: 5 }, (_, index) => run(at("18:00") + index * HOUR));
  const settledBefore = settled({}, "0 * * * *", [noon]);
  const off = next(settledBefore, { now: at("23:10"), reread: [noon], runs: future });
  const wrong = afterwards(settledBefore, evaluate(off, settledBefore, at("12:10")));
  const last = future.slice(-1);
  const right = afterwards(wrong, evaluate(next(wrong, { now: at("12:20"), reread: last }), wrong));
  const later = evaluate(next(right, { now: at("13:35"), reread: last }), right);
  assert.equal(later.jobs[0]?.status, "missed");
  assert.equal(later.observations.states?.[0]?.lastRunAt, at("12:20"));
});

Deno.test("a run shortly before a slot stands for the one before, where that has none", () => {
  const slots = Array.from({ length: 6 }, (_, index) => at("22:55") + index * MINUTE);
  const runs = ["58:29", "59:08", "59:24", "59:34", "59:58"].map((time) => {
    return { startedAt: at(`22:${time}`), endedAt: at(`22:${time}`), open: false };
  });
  const judged = judgeSlots(slots, runs, 5 * MINUTE, at("23:00:20"));
  assert.deepEqual([judged.missed, judged.judgedUntil], [[], at("23:00") - 1]);
});

Deno.test("slots before the restart that changed cron.timezone are not judged by the new zone", () => {
  const noon = run(NOON);
  const known = { ...settled({}, "0 * * * *", [noon]), timeZone: "GMT" };
  const settings = { ...facts().settings, timeZone: "Asia/Kathmandu" };
  const restarted = { serverStartedAt: at("12:20"), reread: [noon] };
  const seen = evaluate(next(known, { now: at("13:10"), settings, ...restarted }), known);
  assert.deepEqual(opened(seen), []);
});

Deno.test("a dead scheduler is seen although a job has been missed for longer", () => {
  const names = ["daily", "first", "second", "third"];
  const jobs = names.map((jobName, index) =>
    cronJob({ jobId: index + 1, jobName, schedule: index === 0 ? "0 6 * * *" : "*/5 * * * *" })
  );
  const runs = [1, 2, 3].map((index) => run(NOON, { jobId: index + 1 }));
  const late = run(at("05:00"), { jobId: 1 });
  const known = knowledge({
    jobs: jobs.map(({ jobId, jobName, schedule }) =>
      inventoryJob({ id: `job-${jobId}`, jobId, jobName: jobName ?? "", schedule })
    ),
    openRuns: [],
  });
  const first = facts({ now: at("12:01"), reading: "first", jobs, runs: [late, ...runs] });
  const daily = { ...late, startedAt: at("06:00") - 24 * HOUR, endedAt: at("06:00") - 24 * HOUR };
  const before = afterwards(known, evaluate({ ...first, runs: [daily, ...runs] }, known));
  const seen = evaluate(facts({ now: at("12:20"), jobs }), before);
  assert.ok(opened(seen).includes("scheduler_down"), JSON.stringify(opened(seen)));
});

Deno.test("jobs that were missed before runs left no trace do not make a dead scheduler afterwards", () => {
  const jobs = [1, 2, 3].map((jobId) => cronJob({ jobId, jobName: `job_${jobId}` }));
  const runs = jobs.map(({ jobId }) => run(at("10:00"), { jobId }));
  const known = knowledge();
  const first = afterwards(known, evaluate(facts({ now: at("11:40"), reading: "first", jobs, runs }), known));
  const silent = { ...facts().settings, logRun: false };
  const during = afterwards(first, evaluate(facts({ now: at("12:00"), jobs, settings: silent }), first));
  const others = run(at("12:01"), { jobId: 99 });
  const back = facts({ now: at("12:10"), jobs, runs: [others], serverStartedAt: at("12:05") });
  assert.ok(!opened(evaluate(back, during)).includes("scheduler_down"));
});

Deno.test("a job that misses a slot of its own is told while others still miss runs of a restart", () => {
  const jobs = [1, 2, 3, 4].map((jobId) =>
    cronJob({ jobId, jobName: `job_${jobId}`, schedule: jobId === 4 ? "*/5 * * * *" : "0 11 * * *" })
  );
  const runs = jobs.map(({ jobId }) =>
    run(at(jobId === 4 ? "10:00" : "11:00") - (jobId === 4 ? 0 : 24 * HOUR), { jobId })
  );
  const first = facts({ now: at("10:01"), reading: "first", jobs, runs });
  const known = afterwards(knowledge(), evaluate(first, knowledge()));
  const start = { serverStartedAt: at("11:01") };
  const fourth = run(at("12:00"), { jobId: 4 });
  const restarted = facts({ now: at("12:02"), jobs, runs: [fourth], cursor: fourth.runId, ...start });
  const held = evaluate(restarted, known);
  assert.ok(opened(held).includes("server_was_down"));
  const after = afterwards(known, held);
  // what was over when it was told is no open incident
  const incidents = after.incidents.filter(({ subjectKind }) => subjectKind === "project");
  const looked = facts({ now: at("12:20"), jobs, reread: [fourth], ...start });
  assert.deepEqual(opened(evaluate(looked, { ...after, incidents })), ["missed"]);
});

Deno.test("a replaced history is noticed by a run that was in progress at the last look, too", () => {
  const open = run(NOON, { status: "running", endedAt: null });
  const known = settled({}, "0 * * * *", [open]);
  const other = { ...open, startedAt: at("13:20"), endedAt: at("13:21"), status: "succeeded" as const };
  const seen = evaluate(next(known, { now: at("13:50"), reread: [other], runs: [] }), known);
  assert.deepEqual(opened(seen), []);
  const ended = { ...open, endedAt: at("12:30"), status: "succeeded" as const };
  const later = evaluate(next(known, { now: at("13:50"), reread: [ended] }), known);
  assert.deepEqual(opened(later), ["missed"]);
});

Deno.test("a failure without a start stands for a slot between the runs beside it, not for an older miss", () => {
  const slots = [10, 11, 12, 13, 14].map((hour) => at(`${hour}:00`));
  const starts = [null, at("12:00"), null, at("14:00")];
  const runs = starts.map((startedAt) => ({ startedAt, endedAt: startedAt, open: false }));
  assert.deepEqual(judgeSlots(slots, runs, 30 * MINUTE, at("15:00")).missed, [at("11:00")]);
});

function resolved(seen: ReturnType<typeof evaluate>): string[] {
  return (seen.observations.incidents ?? []).flatMap((one) =>
    one.action === "resolve" ? [one.resolution] : []
  );
}

/** A job that ran at noon and missed one o'clock. */
function missing() {
  const noon = run(NOON);
  const before = settled({}, "0 * * * *", [noon]);
  const missed = evaluate(next(before, { now: at("13:40"), reread: [noon] }), before);
  assert.deepEqual(opened(missed), ["missed"]);
  return { noon, known: afterwards(before, missed) };
}

Deno.test("a miss is not over because nobody could say for a while, but when the job has run", () => {
  const { noon, known } = missing();
  const off = evaluate(next(known, { now: at("13:45"), reread: [noon] }), known, at("20:00"));
  assert.deepEqual([opened(off), resolved(off)], [["clock_off"], []]);
  const dark = afterwards(known, off);
  const right = evaluate(next(dark, { now: at("13:50"), reread: [noon] }), dark);
  assert.deepEqual(right.jobs.map(({ status, verdict }) => [status, verdict]), [["missed", "missed"]]);
  assert.deepEqual([opened(right), resolved(right)], [[], ["recovered"]], "only the clock is right again");
  const after = afterwards(dark, right);
  const back = evaluate(
    next(after, { now: at("14:01"), reread: [noon], runs: [run(at("14:00"))] }),
    after,
  );
  assert.deepEqual([resolved(back), back.jobs[0]?.status], [["recovered"], "healthy"]);
});

Deno.test("a miss is over when the job runs while the clock is off", () => {
  const { noon, known } = missing();
  const runs = [run(at("14:00"))];
  const seen = evaluate(next(known, { now: at("14:01"), reread: [noon], runs }), known, at("20:00"));
  assert.deepEqual([opened(seen), resolved(seen)], [["clock_off"], ["recovered"]]);
});

Deno.test("what is merely degraded is not over while the clock is off", () => {
  const jobs = [cronJob({ schedule: "0 0 31 2 *" })];
  const first = evaluate(facts({ reading: "first", jobs }), knowledge());
  assert.deepEqual(opened(first), ["never_fires"]);
  const known = afterwards(knowledge(), first);
  assert.deepEqual(resolved(evaluate(facts({ now: at("12:10"), jobs }), known, at("20:00"))), []);
});

Deno.test("a stuck run whose row is deleted has not recovered", () => {
  const noon = run(NOON);
  const open = run(at("13:00"), { status: "running", endedAt: null });
  const before = settled({ maxRuntimeMinutes: 30 }, "0 * * * *", [noon]);
  const stuck = evaluate(next(before, { now: at("13:40"), reread: [noon], runs: [open] }), before);
  assert.deepEqual(opened(stuck), ["stuck"]);
  const known = afterwards(before, stuck);
  const purged = evaluate(next(known, { now: at("13:50"), reread: [] }), known);
  assert.deepEqual([resolved(purged), purged.jobs[0]?.status], [[], "unknown"]);
  assert.deepEqual(purged.observations.runs?.map(({ status, runId }) => [status, runId]), [[
    "unknown",
    open.runId,
  ]]);
  const after = afterwards(known, purged);
  const back = evaluate(facts({ now: at("15:01"), runs: [run(at("15:00"))] }), after);
  assert.deepEqual(resolved(back), ["recovered"]);
});

Deno.test("a launcher that dies each second is not back because it is seen once", () => {
  const before = { ...settled(), launcherWasMissing: true };
  const down = evaluate(facts({ now: at("12:10"), launcherAlive: false }), before);
  assert.deepEqual(opened(down), ["scheduler_down"]);
  const known = afterwards(before, down);
  const young = evaluate(facts({ now: at("12:20"), launcherAlive: null }), known);
  assert.deepEqual(resolved(young), []);
  const missing = afterwards(known, young);
  assert.equal(missing.launcherWasMissing, true);
  for (const sign of [{ launcherAlive: true }, { launcherAlive: null, runs: [run(at("12:25"))] }]) {
    assert.deepEqual(resolved(evaluate(facts({ now: at("12:30"), ...sign }), missing)), ["recovered"]);
  }
});

Deno.test("a dead scheduler is still dead while its project cannot be read, and its recovery is told", () => {
  const before = { ...settled(), launcherWasMissing: true };
  const known = afterwards(before, evaluate(facts({ now: at("12:10"), launcherAlive: false }), before));
  const fault = { code: "unreachable", message: "Cannot connect" };
  const cut = evaluateUnreadable({ name: "smoothed", ref: null }, fault, known);
  assert.deepEqual([opened(cut), resolved(cut)], [["unreachable"], []]);
  const dark = afterwards(known, cut);
  const settings = { ...facts().settings, logRun: false };
  const silent = afterwards(
    dark,
    evaluate(facts({ now: at("12:20"), launcherAlive: false, settings }), dark),
  );
  assert.deepEqual(silent.incidents.map(({ code }) => code), ["scheduler_down", "log_run_off"]);
  const back = evaluate(facts({ now: at("12:30"), settings }), silent);
  const told = back.observations.incidents?.flatMap((one) => one.action === "resolve" ? one.deliveries : []);
  assert.equal(told?.length, 1, "although cron.log_run is still off");
});

Deno.test("a run with a start in the future stands for no slot when that time has come", () => {
  const noon = run(NOON);
  const future = run(at("14:00"));
  const before = settled({}, "0 * * * *", [noon]);
  const off = evaluate(
    next(before, { now: at("14:05"), reread: [noon], runs: [future] }),
    before,
    at("12:10"),
  );
  const wrong = afterwards(before, off);
  const right = afterwards(
    wrong,
    evaluate(next(wrong, { now: at("12:20"), reread: [future] }), wrong),
  );
  const later = evaluate(next(right, { now: at("14:40"), reread: [future] }), right);
  assert.deepEqual(opened(later), ["missed"]);
  assert.deepEqual(later.observations.runs?.map(({ runAt }) => runAt), [at("13:00"), at("14:00")]);
});

Deno.test("a job that has never run stays so while its miss is held, although no slot has come since", () => {
  const jobs = [1, 2, 3].map((jobId) => cronJob({ jobId, jobName: `job_${jobId}`, schedule: "5 * * * *" }));
  const start = afterwards(knowledge(), evaluate(facts({ now: NOON, jobs }), knowledge()));
  const down = evaluate(facts({ now: at("12:50"), jobs, launcherAlive: false }), start);
  assert.deepEqual(opened(down), ["scheduler_down"]);
  const later = evaluate(facts({ now: at("12:55"), jobs, launcherAlive: false }), afterwards(start, down));
  assert.deepEqual(later.jobs.map(({ status }) => status), ["missed", "missed", "missed"]);
});

Deno.test("a miss ends with its schedule, and is no longer told of the new one", () => {
  const { noon, known } = missing();
  const jobs = [cronJob({ schedule: "30 3 * * *" })];
  const seen = evaluate(next(known, { now: at("13:50"), reread: [noon], jobs }), known);
  assert.deepEqual([opened(seen), resolved(seen)], [[], ["rescheduled"]]);
  assert.equal(seen.jobs[0]?.status, "healthy");
});

Deno.test("criteria that were not met are not met by a run that has only begun, whatever was told meanwhile", () => {
  const before = settled({ successCheckSql: "select false" });
  const one = run(at("13:00"));
  const answered = { successChecks: [{ jobId: 1, held: false, error: null }] };
  const unmet = evaluate(facts({ now: at("13:05"), runs: [one], ...answered }), before);
  assert.deepEqual(opened(unmet), ["criteria_not_met"]);
  const known = afterwards(before, unmet);
  const missed = evaluate(next(known, { now: at("14:40"), reread: [one] }), known);
  assert.equal(missed.jobs[0]?.verdict, "missed");
  const after = afterwards(known, missed);
  const begun = run(at("15:00"), { status: "running", endedAt: null });
  const seen = evaluate(next(after, { now: at("15:01"), reread: [one], runs: [begun] }), after);
  assert.deepEqual([resolved(seen), seen.jobs[0]?.verdict], [[], "criteria_not_met"]);
});

Deno.test("a run during which the clock was set wrong is not slow", () => {
  const noon = run(NOON);
  const before = settled({ maxRuntimeMinutes: 30 }, "0 * * * *", [noon]);
  const across = run(at("13:00"), { endedAt: at("18:00") });
  const off = next(before, { now: at("18:10"), reread: [noon], runs: [across] });
  const wrong = afterwards(before, evaluate(off, before, at("13:20")));
  const right = evaluate(next(wrong, { now: at("13:25"), reread: [across] }), wrong);
  assert.deepEqual(opened(right), []);
  const after = afterwards(wrong, right);
  const well = run(at("14:00"));
  const later = evaluate(next(after, { now: at("14:01"), reread: [across], runs: [well] }), after);
  assert.deepEqual([opened(later), later.jobs[0]?.status], [[], "healthy"]);
});

Deno.test("what was paused or rescheduled and set back between two looks is no miss, but for one edit and one look only", () => {
  const minutely = "* * * * *";
  const last = run(NOON);
  const start = settled({}, minutely, [last]);
  const look = (before: HubKnowledge, minutes: number, rowVersion: string) => {
    const seen = facts({
      now: NOON + minutes * MINUTE + MINUTE / 2,
      reading: "next",
      jobs: [cronJob({ schedule: minutely, rowVersion })],
      reread: [last],
    });
    const judged = evaluate(seen, before);
    return { opened: opened(judged), after: afterwards(before, judged) };
  };
  assert.deepEqual(look(start, 10, "700").opened, ["missed"], "nothing was edited");
  const paused = look(start, 10, "701");
  assert.deepEqual(paused.opened, []);
  assert.deepEqual(look(paused.after, 25, "702").opened, ["missed"], "it is scheduled anew all the time");
  assert.deepEqual(
    look(start, 90, "701").opened,
    ["missed"],
    "nobody looked for longer than a quick pause takes",
  );

  const hourly = settled({}, "0 * * * *", [last]);
  const lookAt = (time: string, rowVersion: string) =>
    facts({ now: at(time), reading: "next", jobs: [cronJob({ rowVersion })], reread: [last] });
  const within = afterwards(hourly, evaluate(lookAt("12:50", "700"), hourly));
  const edited = afterwards(within, evaluate(lookAt("13:05", "701"), within));
  const told = opened(evaluate(lookAt("13:35", "701"), edited));
  assert.deepEqual(told, ["missed"], "its slot was within grace when it was edited");
});

Deno.test("an old run that seems to have started in the future is not kept for a slot to come", () => {
  const ended = (startedAt: number) =>
    ({ runId: startedAt, status: "success", message: null, startedAt, endedAt: startedAt }) as const;
  const starts = Array.from({ length: 24 }, (_, index) => NOON - (24 - index) * MINUTE);
  const sorted = { ended: [ended(NOON + HOUR), ...starts.map(ended)], open: null };
  const kept = keepRecent([], sorted, { undecidedFrom: NOON - HOUR, now: NOON });
  assert.deepEqual(kept.map(({ runId }) => runId), starts);
});
