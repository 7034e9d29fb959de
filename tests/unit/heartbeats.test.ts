import assert from "node:assert/strict";
import type { Heartbeat, HeartbeatEnd } from "../../supabase/functions/_shared/domain/heartbeat.ts";
import type { HubKnowledge } from "../../supabase/functions/_shared/domain/hub.ts";
import {
  evaluateHeartbeats,
  judgedPings,
} from "../../supabase/functions/_shared/rules/evaluate_heartbeats.ts";
import { afterwards, HOUR, inventoryJob, knowledge, MINUTE, NOON } from "../support/facts.ts";

let lastPing = 0;

function end(at: number, over: Partial<HeartbeatEnd> = {}): HeartbeatEnd {
  return {
    id: ++lastPing,
    kind: "success",
    startedAt: null,
    endedAt: at,
    exitCode: null,
    body: null,
    ...over,
  };
}

/** Set up a week ago, every hour with ten minutes of grace, unless said otherwise. */
function heartbeat(over: Partial<Heartbeat> = {}): Heartbeat {
  const newest = over.ends?.at(-1)?.endedAt ?? null;
  return {
    jobName: "nightly",
    jobType: "heartbeat",
    expectedIntervalMinutes: 60,
    schedule: null,
    timeZone: "UTC",
    graceMinutes: 10,
    active: true,
    pinged: newest !== null || over.open !== undefined,
    lastRunAt: newest,
    createdAt: NOON - 7 * 24 * HOUR,
    ends: [],
    open: null,
    ...over,
  };
}

/** One look after the other: each is the time and what the heartbeat says then, all its pings so far. */
function looks(...seen: [now: number, heartbeat: Heartbeat][]) {
  let known: HubKnowledge = knowledge({ projectName: "thordata" });
  return seen.map(([now, one]) => {
    const cursor = judgedPings(known)[one.jobName] ?? 0;
    const heartbeats = [{ ...one, ends: one.ends.filter(({ id }) => id > cursor) }];
    const evaluation = evaluateHeartbeats({ now, limit: 500, heartbeats }, known, () => "beat-1");
    known = afterwards(known, evaluation, now);
    const [job] = evaluation.jobs;
    const transitions = (evaluation.observations.incidents ?? []).map((one) =>
      one.action === "open" ? `open ${one.code}${one.resolution ? ` (${one.resolution})` : ""}` : one.action
    );
    return {
      status: job?.status,
      verdict: job?.verdict,
      summary: job?.summary,
      transitions,
      evaluation,
      known,
    };
  });
}

function brief({ status, verdict, transitions }: ReturnType<typeof looks>[number]) {
  return [status, verdict, transitions];
}

Deno.test("a heartbeat that says so in time is healthy; past its interval and grace it is missed, and then recovers", () => {
  const first = end(NOON);
  const back = end(NOON + 3 * HOUR);
  const [a, b, c, d] = looks(
    [NOON + MINUTE, heartbeat({ ends: [first] })],
    [NOON + 70 * MINUTE, heartbeat({ ends: [first] })],
    [NOON + 70 * MINUTE + 1, heartbeat({ ends: [first] })],
    [NOON + 3 * HOUR + MINUTE, heartbeat({ ends: [first, back] })],
  );
  assert.deepEqual([a, b, c, d].map((one) => brief(one!)), [
    ["healthy", null, []],
    ["healthy", null, []],
    ["missed", "missed", ["open missed"]],
    ["healthy", null, ["resolve"]],
  ]);
  assert.match(c?.summary ?? "", /no run for the slot at 2026-11-21 13:00 UTC \(every hour\)/);
});

Deno.test("the rows of the log are a heartbeat's own, each end and each miss once", () => {
  const ends = [
    end(NOON - HOUR),
    end(NOON, { startedAt: NOON - 5 * MINUTE, kind: "fail", exitCode: 3, body: "no space" }),
  ];
  const [a, b] = looks(
    [NOON + MINUTE, heartbeat({ ends })],
    [NOON + 2 * MINUTE, heartbeat({ ends })],
  );
  assert.deepEqual(
    a?.evaluation.observations.runs?.map((
      { status, source, durationMs, errorMessage },
    ) => [status, source, durationMs, errorMessage]),
    [["success", "heartbeat", null, null], ["failed", "heartbeat", 5 * MINUTE, "exit code 3: no space"]],
  );
  assert.deepEqual(b?.evaluation.observations.runs, []);
  assert.deepEqual(brief(b!), ["failed", "failed", ["update"]]);
  assert.match(a?.summary ?? "", /the last run failed: exit code 3: no space/);
});

Deno.test("without interval and schedule it is missed half an hour after the 24 hours", () => {
  const nobodySaid = { expectedIntervalMinutes: null, graceMinutes: null, ends: [end(NOON)] };
  const [a, b] = looks(
    [NOON + 24.5 * HOUR, heartbeat(nobodySaid)],
    [NOON + 24.5 * HOUR + 1, heartbeat(nobodySaid)],
  );
  assert.deepEqual([a?.status, b?.status], ["healthy", "missed"]);
});

Deno.test("a heartbeat that never said a word is unknown, and missed only where somebody expects it, after a day", () => {
  const setUp = NOON - 25 * HOUR;
  const unexpected = heartbeat({ createdAt: setUp, expectedIntervalMinutes: null, graceMinutes: null });
  assert.deepEqual(looks([NOON, unexpected], [NOON + 48 * HOUR, unexpected]).map(brief), [
    ["unknown", "never_pinged", []],
    ["unknown", "never_pinged", []],
  ]);
  const young = heartbeat({ createdAt: NOON - HOUR });
  assert.deepEqual(looks([NOON + 2 * HOUR, young]).map(brief), [["unknown", "never_pinged", []]]);
  const expected = heartbeat({ createdAt: setUp });
  assert.deepEqual(looks([NOON, expected], [NOON + 2 * HOUR, expected]).map(brief), [
    ["unknown", "no_run_yet", []],
    ["missed", "never_ran", ["open never_ran"]],
  ]);
});

Deno.test("a run that began and does not end is stuck, by max_runtime_minutes where there is one", () => {
  const open = { id: ++lastPing, startedAt: NOON };
  const before = knowledge({
    projectName: "thordata",
    jobs: [
      inventoryJob({
        id: "beat-1",
        jobType: "heartbeat",
        jobName: "nightly",
        jobUser: null,
        jobId: null,
        schedule: null,
        maxRuntimeMinutes: 30,
      }),
    ],
  });
  const at = (now: number) =>
    evaluateHeartbeats({ now, limit: 500, heartbeats: [heartbeat({ open })] }, before, () => "beat-1");
  assert.equal(at(NOON + 30 * MINUTE).jobs[0]?.verdict, "first_run");
  const stuck = at(NOON + 31 * MINUTE);
  assert.deepEqual([stuck.jobs[0]?.status, stuck.jobs[0]?.verdict], ["failed", "stuck"]);
  assert.match(stuck.jobs[0]?.summary ?? "", /running for 31 min, longer than 30 min/);
});

Deno.test("a run that was never heard of again is unknown once, and no failure", () => {
  const ends = [
    end(NOON - HOUR),
    end(NOON, { kind: "lost", startedAt: NOON - HOUR / 2 }),
    end(NOON + MINUTE, { startedAt: NOON }),
  ];
  const [a] = looks([NOON + 2 * MINUTE, heartbeat({ ends })]);
  assert.equal(a?.status, "healthy");
  assert.deepEqual(a?.evaluation.observations.runs?.map(({ status }) => status), [
    "success",
    "unknown",
    "success",
  ]);
});

Deno.test("a duration far beyond the usual is slow, as of any job", () => {
  const ends = Array.from(
    { length: 22 },
    (_, n) => end(NOON + n * HOUR + MINUTE, { startedAt: NOON + n * HOUR }),
  );
  const long = end(NOON + 22 * HOUR + 30 * MINUTE, { startedAt: NOON + 22 * HOUR });
  const [, b] = looks(
    [NOON + 21 * HOUR + 2 * MINUTE, heartbeat({ ends })],
    [NOON + 22 * HOUR + 31 * MINUTE, heartbeat({ ends: [...ends, long] })],
  );
  assert.deepEqual(brief(b!), ["healthy", "slow", ["open slow"]]);
});

Deno.test("a schedule is read in its own time zone, and one that nobody can read is said so", () => {
  const berlin = { schedule: "0 2 * * *", timeZone: "Europe/Berlin", expectedIntervalMinutes: null };
  const ran = end(Date.parse("2026-11-21T01:00:10Z"));
  const [, late, missed] = looks(
    [ran.endedAt + MINUTE, heartbeat({ ...berlin, ends: [ran] })],
    [Date.parse("2026-11-22T01:10:00Z"), heartbeat({ ...berlin, ends: [ran] })],
    [Date.parse("2026-11-22T01:10:01Z"), heartbeat({ ...berlin, ends: [ran] })],
  );
  assert.deepEqual([late?.status, missed?.verdict], ["healthy", "missed"]);
  const [wrong] = looks([
    NOON,
    heartbeat({ schedule: "0 99 * * *", expectedIntervalMinutes: null, ends: [end(NOON)] }),
  ]);
  assert.equal(wrong?.verdict, "schedule_invalid");
  assert.match(wrong?.summary ?? "", /nobody can say when it is due: .*hour must be 0 to 23/);
});

Deno.test("where the clock is set back a fixed time is expected once, as other crons than pg_cron run it", () => {
  const berlin = { schedule: "30 2 * * *", timeZone: "Europe/Berlin", expectedIntervalMinutes: null };
  const ends = ["2026-10-24T00:30:05Z", "2026-10-25T00:30:05Z"].map((time) => end(Date.parse(time)));
  const [, b] = looks(
    [Date.parse("2026-10-24T00:31:00Z"), heartbeat({ ...berlin, ends: ends.slice(0, 1) })],
    [Date.parse("2026-10-25T12:00:00Z"), heartbeat({ ...berlin, ends })],
  );
  assert.deepEqual(brief(b!), ["healthy", null, []]);
  assert.equal(b?.evaluation.observations.runs?.length, 1);
});

Deno.test("whoever sets last_run_at back takes back what came after it", () => {
  const ends = [end(NOON - 2 * HOUR), end(NOON)];
  const back = end(NOON - 30 * HOUR);
  const set = heartbeat({ ends: [...ends, back], lastRunAt: back.endedAt });
  const [a, b, c] = looks(
    [NOON + MINUTE, heartbeat({ ends })],
    [NOON + 2 * MINUTE, set],
    [NOON + 3 * MINUTE, set],
  );
  assert.deepEqual([a, b, c].map((one) => one?.status), ["healthy", "missed", "missed"]);
  assert.deepEqual(c?.evaluation.observations.runs, []);
  assert.equal(judgedPings(c!.known)["nightly"], back.id);
});

Deno.test("a paused heartbeat is not judged and its incident ends", () => {
  const ends = [end(NOON)];
  const [, b, c] = looks(
    [NOON + MINUTE, heartbeat({ ends })],
    [NOON + 2 * HOUR, heartbeat({ ends })],
    [NOON + 3 * HOUR, heartbeat({ ends, active: false })],
  );
  assert.deepEqual([brief(b!), brief(c!)], [["missed", "missed", ["open missed"]], ["paused", "paused", [
    "resolve",
  ]]]);
});

Deno.test("annotations apply: criticality, grace, failure_threshold", () => {
  const job = inventoryJob({
    id: "beat-1",
    jobType: "heartbeat",
    jobName: "nightly",
    jobUser: null,
    jobId: null,
    schedule: null,
    criticality: "critical",
    graceMinutes: 120,
    failureThreshold: 2,
  });
  const before = knowledge({ projectName: "thordata", jobs: [job] });
  const look = (known: HubKnowledge, now: number, ends: HeartbeatEnd[]) =>
    evaluateHeartbeats({ now, limit: 500, heartbeats: [heartbeat({ ends })] }, known, () => "x");
  const failing = end(NOON, { kind: "fail" });
  const once = look(before, NOON + MINUTE, [failing]);
  assert.deepEqual([once.jobs[0]?.status, once.jobs[0]?.verdict], ["unknown", "below_threshold"]);
  const twice = look(afterwards(before, once), NOON + 2 * MINUTE, [end(NOON + MINUTE, { kind: "fail" })]);
  assert.equal(twice.jobs[0]?.verdict, "failed");
  const [opened] = twice.observations.incidents ?? [];
  assert.equal(opened?.action === "open" && opened.severity, "critical");
  assert.equal(look(afterwards(before, once), NOON + 179 * MINUTE, []).jobs[0]?.verdict, "below_threshold");
});

Deno.test("a heartbeat that is gone ends its incident; a row that is only written in the inventory stays", () => {
  const rows = [
    inventoryJob({ id: "gone", jobType: "heartbeat", jobName: "gone", jobUser: null, removedAt: NOON }),
    inventoryJob({ id: "ahead", jobType: "heartbeat", jobName: "ahead", jobUser: null }),
    inventoryJob({ id: "asked", jobType: "webhook", jobName: "asked", jobUser: null }),
  ];
  const incident = {
    id: "i",
    subjectKind: "job",
    subjectId: "gone",
    code: "missed",
    severity: "low",
    summary: "",
    detail: {},
    openedAt: NOON,
  } as const;
  const known = knowledge({ projectName: "thordata", jobs: rows, incidents: [incident] });
  const { observations } = evaluateHeartbeats({ now: NOON, limit: 500, heartbeats: [] }, known, () => "x");
  assert.deepEqual(
    observations.incidents?.map((one) => one.action === "resolve" && [one.id, one.resolution]),
    [["i", "removed"]],
  );
  assert.deepEqual([observations.jobs, observations.removed, observations.changes], [[], undefined, []]);
});

Deno.test("a backlog is read piece by piece, and nothing is missed of which the rest is not read", () => {
  const ends = Array.from({ length: 10 }, (_, n) => end(NOON - (10 - n) * HOUR));
  const known = knowledge({ projectName: "thordata" });
  const heartbeats = [heartbeat({ ends: ends.slice(0, 4), lastRunAt: ends[9]!.endedAt })];
  const first = evaluateHeartbeats({ now: NOON, limit: 4, heartbeats }, known, () => "beat-1");
  assert.deepEqual([first.jobs[0]?.status, first.observations.incidents], ["healthy", []]);
});
