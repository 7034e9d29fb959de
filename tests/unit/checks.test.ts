import assert from "node:assert/strict";
import { evaluateProject } from "../../supabase/functions/_shared/rules/evaluate.ts";
import type { CronFacts } from "../../supabase/functions/_shared/domain/facts.ts";
import type { HubKnowledge } from "../../supabase/functions/_shared/domain/hub.ts";
import type { IncidentTransition } from "../../supabase/functions/_shared/domain/observation.ts";
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

/** One job that had just run well at noon. */
function settled(over: Parameters<typeof inventoryJob>[0] = {}, runs = [run(NOON)]) {
  const before = knowledge({ jobs: [inventoryJob(over)] });
  return afterwards(before, evaluate(facts({ reading: "first", runs }), before));
}

type Opened = Extract<IncidentTransition, { action: "open" }>;

function opened(seen: { observations: { incidents?: IncidentTransition[] } }): Opened[] {
  return (seen.observations.incidents ?? []).filter((transition) => transition.action === "open");
}

function codes(seen: Parameters<typeof opened>[0]): string[] {
  return opened(seen).map(({ code }) => code);
}

const OPEN_RUN = { status: "running", endedAt: null } as const;

Deno.test("stuck: a run beyond its annotated runtime, and not before", () => {
  const known = settled({ maxRuntimeMinutes: 30 });
  const runs = [run(at("13:00"), OPEN_RUN)];
  assert.deepEqual(codes(evaluate(facts({ now: at("13:29"), runs }), known)), []);
  const late = evaluate(facts({ now: at("13:31"), runs }), known);
  assert.deepEqual(codes(late), ["stuck"]);
  assert.equal(late.jobs[0]?.status, "failed");
});

Deno.test("stuck: the limit is learned from the job's own runs, and two hours without any", () => {
  const seconds = Array.from({ length: 6 }, (_, index) => run(NOON - (5 - index) * HOUR));
  const open = run(at("13:00"), OPEN_RUN);
  const learned = settled({}, seconds);
  assert.deepEqual(codes(evaluate(facts({ now: at("13:09"), runs: [open] }), learned)), []);
  assert.deepEqual(codes(evaluate(facts({ now: at("13:11"), runs: [open] }), learned)), ["stuck"]);
  const unknown = settled();
  assert.deepEqual(codes(evaluate(facts({ now: at("14:59"), runs: [open] }), unknown)), []);
  assert.deepEqual(codes(evaluate(facts({ now: at("15:01"), runs: [open] }), unknown)), ["stuck"]);
});

Deno.test("stuck: a session that is gone or hidden is told as such", () => {
  const known = settled({ maxRuntimeMinutes: 30 });
  const cause = (over: Partial<CronFacts>) =>
    opened(evaluate(facts({ now: at("13:31"), ...over }), known))[0]?.detail.cause;
  const runs = [run(at("13:00"), { ...OPEN_RUN, pid: 42 })];
  assert.equal(cause({ runs, sessions: [] }), "its session 42 is gone, although its row still says running");
  assert.match(cause({ runs, sessions: null }) ?? "", /cannot be seen: grant pg_monitor/);
  assert.equal(cause({ runs: [run(at("13:00"), OPEN_RUN)], sessions: [] }), null, "pg_cron noted no session");
});

Deno.test("stuck: what the session waits for and who blocks it is the cause, without secrets", () => {
  const open = run(at("13:00"), { ...OPEN_RUN, pid: 42 });
  const query = "update users set token = 'sb_secret_abcdefghijklmnop'";
  const blockedBy = [{ pid: 7, userName: "ada", state: "idle in transaction", query }];
  const sessions = [{ pid: 42, waitsFor: "Lock:relation", blockedBy }];
  const seen = evaluate(
    facts({ now: at("13:31"), runs: [open], sessions }),
    settled({ maxRuntimeMinutes: 30 }),
  );
  const cause = opened(seen)[0]?.detail.cause ?? "";
  assert.match(
    cause,
    /session 42 waits for Lock:relation, held by session 7 \(ada, idle in transaction: update users/,
  );
  assert.doesNotMatch(cause, /abcdefghijklmnop/);
});

Deno.test("never ran: slots passed since the job is known and there is no run at all", () => {
  const first = facts({ reading: "first", runs: [] });
  const known = afterwards(knowledge(), evaluate(first, knowledge()));
  const late = evaluate(facts({ now: at("13:31") }), known);
  assert.deepEqual(codes(late), ["never_ran"]);
  const later = evaluate(facts({ now: at("14:31") }), afterwards(known, late));
  assert.deepEqual(codes(later), []);
  assert.match(later.jobs[0]?.summary ?? "", /2 slots passed since 2026-11-21 13:00 UTC/);
});

Deno.test("missed slots between two checks are told once, low and already over, when the job has run again", () => {
  const known = settled({ criticality: "critical" });
  const back = evaluate(facts({ now: at("16:05"), runs: [run(at("13:00")), run(at("16:00"))] }), known);
  const [incident] = opened(back);
  assert.deepEqual([incident?.code, incident?.severity, incident?.resolution], [
    "missed",
    "low",
    "recovered",
  ]);
  assert.match(
    incident?.summary ?? "",
    /2 slots from 2026-11-21 14:00 UTC to 2026-11-21 15:00 UTC; it has run again/,
  );
  assert.equal(back.jobs[0]?.status, "healthy");
  assert.deepEqual(codes(evaluate(facts({ now: at("16:20") }), afterwards(known, back))), []);
});

Deno.test("missed slots of a restart that is over are kept as information and not sent", () => {
  const known = settled();
  const restarted = facts({ now: at("16:05"), serverStartedAt: at("15:30"), runs: [run(at("16:00"))] });
  const [incident] = opened(evaluate(restarted, known));
  assert.deepEqual([incident?.severity, incident?.deliveries], ["info", []]);
  assert.match(incident?.detail.cause ?? "", /the server started only after it, at 2026-11-21 15:30 UTC/);
});

Deno.test("a slot that was missed while others had their runs is told, although a restart took the next ones", () => {
  const restarted = facts({
    now: at("18:05"),
    serverStartedAt: at("17:30"),
    runs: [run(at("13:00")), run(at("15:00")), run(at("18:00"))],
  });
  const [incident] = opened(evaluate(restarted, settled()));
  assert.deepEqual([incident?.severity, incident?.deliveries.length], ["low", 1]);
  assert.match(incident?.summary ?? "", /3 slots from 2026-11-21 14:00 UTC to 2026-11-21 17:00 UTC/);
});

Deno.test("a slot after which other jobs ran was not lost in a restart, however rarely the job itself runs", () => {
  const known = settled();
  const alive = run(at("14:30"), { jobId: 9 });
  const seen = evaluate(
    facts({ now: at("15:05"), serverStartedAt: at("14:50"), runs: [alive, run(at("15:00"))] }),
    known,
  );
  assert.deepEqual(opened(seen).map(({ severity, detail }) => [severity, detail.cause]), [["low", null]]);
});

Deno.test("overrun: three runs longer than the interval are a low incident and the job stays healthy", () => {
  const jobs = [cronJob({ schedule: "* * * * *" })];
  const long = [0, 2, 4].map((minute) =>
    run(NOON + minute * MINUTE, { endedAt: NOON + (minute + 2) * MINUTE })
  );
  const seen = evaluate(facts({ reading: "first", jobs, runs: long, now: NOON + 6.5 * MINUTE }), knowledge());
  assert.deepEqual(opened(seen).map(({ code, severity }) => [code, severity]), [["overrun", "low"]]);
  assert.equal(seen.jobs[0]?.status, "healthy");
});

Deno.test("overrun is not over because the next run has only just begun", () => {
  const jobs = [cronJob({ schedule: "* * * * *" })];
  const runs = [0, 2, 4].map((minute) =>
    run(NOON + minute * MINUTE, { endedAt: NOON + (minute + 2) * MINUTE })
  );
  const first = facts({ reading: "first", jobs, runs, now: NOON + 6.5 * MINUTE });
  const before = knowledge();
  const known = afterwards(before, evaluate(first, before));
  const begun = run(NOON + 7 * MINUTE, OPEN_RUN);
  const seen = evaluate(facts({ jobs, runs: [begun], now: NOON + 7.5 * MINUTE }), known);
  assert.deepEqual(seen.observations.incidents?.map(({ action }) => action), ["update"]);
});

Deno.test("a graver incident takes the place of an overrun and is told, the overrun's end is not", () => {
  const jobs = [cronJob({ schedule: "* * * * *" })];
  const long = [0, 2, 4].map((minute) =>
    run(NOON + minute * MINUTE, { endedAt: NOON + (minute + 2) * MINUTE })
  );
  const known = afterwards(
    knowledge(),
    evaluate(facts({ reading: "first", jobs, runs: long, now: NOON + 6.5 * MINUTE }), knowledge()),
  );
  const failure = run(NOON + 6 * MINUTE, { status: "failed", endedAt: NOON + 8 * MINUTE });
  const seen =
    evaluate(facts({ jobs, runs: [failure], now: NOON + 8.5 * MINUTE }), known).observations.incidents ?? [];
  assert.deepEqual(seen.map((transition) => transition.action), ["resolve", "open"]);
  assert.ok(seen[0]?.action === "resolve");
  assert.deepEqual([seen[0].resolution, seen[0].deliveries], ["superseded", []]);
});

Deno.test("slow: far longer than the 95th percentile of twenty runs, low", () => {
  const usual = Array.from({ length: 21 }, (_, index) => run(NOON - (20 - index) * HOUR));
  const known = settled({}, usual);
  const slow = run(at("13:00"), { endedAt: at("13:05") });
  assert.deepEqual(codes(evaluate(facts({ now: at("13:06"), runs: [slow] }), known)), ["slow"]);
  assert.deepEqual(
    codes(evaluate(facts({ now: at("13:06"), runs: [slow] }), settled({}, usual.slice(15)))),
    [],
  );
});

Deno.test("criteria: a run with fewer rows than annotated did not succeed, whatever pg_cron says", () => {
  const known = settled({ minRows: 10 }, [run(NOON, { message: "INSERT 0 10" })]);
  const few = (message: string) =>
    evaluate(facts({ now: at("13:05"), runs: [run(at("13:00"), { message })] }), known);
  assert.deepEqual(codes(few("INSERT 0 9")), ["criteria_not_met"]);
  assert.equal(few("INSERT 0 9").jobs[0]?.status, "failed");
  assert.deepEqual(codes(few("UPDATE 10")), []);
});

Deno.test("criteria: where pg_cron keeps no number of rows nobody can say that there were enough", () => {
  const settledWith = (minRows: number) => settled({ minRows }, [run(NOON, { message: "INSERT 0 10" })]);
  const seen = (minRows: number) =>
    evaluate(
      facts({ now: at("13:05"), runs: [run(at("13:00"), { message: "CALL" })] }),
      settledWith(minRows),
    );
  assert.deepEqual(opened(seen(1)).map(({ code, severity }) => [code, severity]), [[
    "criteria_not_met",
    "low",
  ]]);
  assert.equal(seen(1).jobs[0]?.status, "unknown");
  assert.equal(seen(0).jobs[0]?.status, "healthy");
});

Deno.test("criteria: a success check that does not hold opens, holding again resolves, failing to answer is unknown", () => {
  const known = settled({ successCheckSql: "select false" });
  const answer = (held: boolean | null) =>
    facts({
      now: at("13:05"),
      runs: [run(at("13:00"))],
      successChecks: [{ jobId: 1, held, error: held === null ? "boom" : null }],
    });
  const bad = evaluate(answer(false), known);
  assert.deepEqual(codes(bad), ["criteria_not_met"]);
  const unasked = evaluate(facts({ now: at("13:20") }), afterwards(known, bad));
  assert.equal(unasked.jobs[0]?.status, "failed");
  const good = evaluate(answer(true), afterwards(known, bad));
  assert.deepEqual([good.jobs[0]?.status, good.observations.incidents?.[0]?.action], ["healthy", "resolve"]);
  const broken = evaluate(answer(null), known);
  assert.deepEqual([broken.jobs[0]?.status, opened(broken)[0]?.severity], ["unknown", "low"]);
});

Deno.test("a schedule that is invalid or never fires is told, the latter low", () => {
  const first = (schedule: string) =>
    evaluate(facts({ reading: "first", jobs: [cronJob({ schedule })] }), knowledge());
  assert.deepEqual(opened(first("61 * * * *")).map(({ code, severity }) => [code, severity]), [[
    "schedule_invalid",
    "important",
  ]]);
  assert.deepEqual(opened(first("0 0 31 2 *")).map(({ code, severity }) => [code, severity]), [[
    "never_fires",
    "low",
  ]]);
  assert.equal(first("0 0 31 2 *").jobs[0]?.status, "unknown");
});

Deno.test("several verdicts on one job are one incident that tells of the others", () => {
  const known = settled();
  const failure = run(at("13:00"), { status: "failed", message: "ERROR: boom" });
  const [incident, ...more] = opened(evaluate(facts({ now: at("14:31"), runs: [failure] }), known));
  assert.deepEqual([incident?.code, more], ["missed", []]);
  assert.deepEqual(incident?.detail.also, ["the last run failed: ERROR: boom"]);
});

/** Three hourly jobs that all ran well at noon. */
function three(over: Partial<CronFacts> = {}) {
  const jobs = [1, 2, 3].map((jobId) => cronJob({ jobId, jobName: `job ${jobId}` }));
  const runs = [1, 2, 3].map((jobId) => run(NOON, { jobId }));
  const known = afterwards(knowledge(), evaluate(facts({ reading: "first", jobs, runs }), knowledge()));
  return { known, later: (more: Partial<CronFacts>) => facts({ jobs, ...over, ...more }) };
}

Deno.test("scheduler down: nothing ran while several jobs were due is one incident of the project", () => {
  const { known, later } = three();
  const seen = evaluate(later({ now: at("13:31") }), known);
  assert.deepEqual(opened(seen).map(({ subjectKind, code }) => [subjectKind, code]), [[
    "project",
    "scheduler_down",
  ]]);
  assert.deepEqual(opened(seen)[0]?.detail.heldJobs, ["job 1", "job 2", "job 3"]);
  assert.deepEqual(seen.jobs.map(({ status }) => status), ["missed", "missed", "missed"]);
});

Deno.test("scheduler down is over when jobs run again, and their old misses do not alarm one by one", () => {
  const { known, later } = three();
  const down = afterwards(known, evaluate(later({ now: at("13:31") }), known));
  const back = evaluate(later({ now: at("14:02"), runs: [run(at("14:00"), { jobId: 1 })] }), down);
  assert.deepEqual(back.observations.incidents?.map(({ action }) => action), ["resolve"]);
});

Deno.test("jobs that were due while the server was down are one incident of the project, with their names", () => {
  const { known, later } = three();
  const seen = evaluate(later({ now: at("13:31"), serverStartedAt: at("13:29") }), known);
  assert.deepEqual(codes(seen), ["server_was_down"]);
  assert.match(opened(seen)[0]?.summary ?? "", /down until 2026-11-21 13:29 UTC: 3 jobs missed runs/);
  const runs = [1, 2, 3].map((jobId) => run(at("14:00"), { jobId }));
  const back = evaluate(
    later({ now: at("14:02"), serverStartedAt: at("13:29"), runs }),
    afterwards(known, seen),
  );
  assert.deepEqual(back.observations.incidents?.map(({ action }) => action), ["resolve"]);
});

Deno.test("two overdue jobs while a third ran are two misses, not a dead scheduler", () => {
  const { known, later } = three();
  const seen = evaluate(later({ now: at("13:31"), runs: [run(at("13:00"), { jobId: 3 })] }), known);
  assert.deepEqual(codes(seen), ["missed", "missed"]);
});

Deno.test("a missing launcher is told at the second look, or at once when jobs are overdue", () => {
  const known = settled();
  const first = evaluate(facts({ launcherAlive: false }), known);
  assert.deepEqual(codes(first), []);
  assert.deepEqual(codes(evaluate(facts({ launcherAlive: false }), { ...known, launcherWasMissing: true })), [
    "scheduler_down",
  ]);
  assert.deepEqual(codes(evaluate(facts({ launcherAlive: false, now: at("13:31") }), known)), [
    "scheduler_down",
  ]);
});

Deno.test("a clock far off makes every job unknown and nothing missed", () => {
  const known = settled();
  const seen = evaluate(facts({ now: at("18:00") }), known, NOON + 6 * MINUTE);
  assert.deepEqual(codes(seen), ["clock_off"]);
  assert.deepEqual([seen.jobs[0]?.status, seen.observations.runs], ["unknown", []]);
});

Deno.test("a run that failed has failed, whatever the clock says; when it is right again nothing is stuck", () => {
  const known = settled();
  const hours = 5 * HOUR;
  const runs = [run(at("18:00"), { status: "failed", message: "ERROR: no" }), run(at("18:01"), OPEN_RUN)];
  const off = evaluate(facts({ now: at("18:02"), runs }), known, at("18:02") - hours);
  assert.deepEqual(codes(off).sort(), ["clock_off", "failed"]);
  assert.equal(off.jobs[0]?.status, "failed");
  const right = facts({ now: at("23:30"), reread: runs.slice(1) });
  assert.deepEqual(codes(evaluate(right, afterwards(known, off))), []);
});

Deno.test("jobs that wait because every place is taken are one incident that says so, and no dead scheduler", () => {
  const { known, later } = three();
  const settings = { ...facts().settings, maxRunningJobs: 2 };
  const reread = [5, 6].map((jobId) => run(at("12:30"), { ...OPEN_RUN, jobId }));
  const seen = evaluate(later({ now: at("13:31"), settings, reread }), known);
  assert.deepEqual(codes(seen), ["saturated"]);
  assert.match(
    opened(seen)[0]?.summary ?? "",
    /3 jobs are overdue: all 2 places of cron.max_running_jobs are taken/,
  );
});

Deno.test("cron.log_run off is one low incident of the project", () => {
  const silent = facts({ settings: { ...facts().settings, logRun: false } });
  assert.deepEqual(opened(evaluate(silent, settled())).map(({ code, severity }) => [code, severity]), [[
    "log_run_off",
    "low",
  ]]);
});

Deno.test("a saturated project is named as the cause of its misses", () => {
  const settings = { ...facts().settings, maxRunningJobs: 1 };
  const busy = run(at("12:50"), { ...OPEN_RUN, jobId: 9 });
  const seen = evaluate(facts({ now: at("13:31"), settings, runs: [busy] }), settled());
  assert.match(opened(seen)[0]?.detail.cause ?? "", /all 1 places of cron.max_running_jobs are taken/);
});
