/** Judges one heartbeat by the checks of every other job: what it said since the last look, and what was known of it. */
import type { CronFacts } from "../domain/facts.ts";
import type { Heartbeat, HeartbeatEnd } from "../domain/heartbeat.ts";
import type { HubKnowledge, InventoryJob, JobState } from "../domain/hub.ts";
import { UNANNOTATED } from "../domain/job.ts";
import type { ObservedJob } from "../domain/observation.ts";
import type { RecentRun } from "../domain/run.ts";
import { viewOfRuns } from "./job_view.ts";
import { type JudgedJob, judgeView } from "./judge_job.ts";
import type { EndedRun, SortedRuns } from "./runs.ts";
import { parseSchedule, type Schedule, typicalIntervalMinutes } from "./schedule.ts";

const MINUTE_MS = 60_000;

/** Where nobody said when it is due. A daily job that says so at its end is never late by less than its grace. */
const UNDECLARED = { intervalMinutes: 24 * 60, graceMinutes: 30 } as const;

/** A heartbeat that somebody expects is waited for so long before its first word is missed. */
const FIRST_PING_MS = 24 * 60 * MINUTE_MS;

/** A run that began, and of which nothing more was heard when the next one did. */
const LOST = "it never said how it ended, and another run has begun since";

/** A heartbeat as the inventory shows it; an interval has no text that a schedule could be. */
export function shownHeartbeat(
  { jobName, jobType, schedule, active, expectedIntervalMinutes }: Heartbeat,
): Omit<ObservedJob, "id"> {
  const interval = schedule === null
    ? expectedIntervalMinutes ?? UNDECLARED.intervalMinutes
    : typicalIntervalMinutes(parseSchedule(schedule));
  return {
    ...{ jobType, jobName, schedule, active, jobUser: null, jobId: null, command: null },
    expectedIntervalMinutes: interval,
  };
}

/** Judges a heartbeat. */
export function judgeHeartbeat(
  heartbeat: Heartbeat,
  shown: ObservedJob,
  knowledge: HubKnowledge,
  look: { now: number; limit: number },
): JudgedJob {
  const known = knowledge.jobs.find(({ id }) => id === shown.id);
  const job = inventoryJob(heartbeat, shown, known, look.now);
  if (!isAwaited(heartbeat, look.now)) return neverPinged(job);
  const before = known?.removedAt === null ? knowledge.states.get(shown.id) ?? null : null;
  const incidents = knowledge.incidents.filter((one) =>
    one.subjectKind === "job" && one.subjectId === shown.id
  );
  const view = viewOfRuns(
    shown,
    job,
    before === null ? null : rewound(before, heartbeat),
    { sorted: sortEnds(heartbeat), schedule: dueBy(heartbeat) },
    factsOf(heartbeat, look),
    { ...NO_PROJECT, incidents: new Map([[shown.id, incidents]]) },
  );
  const judged = judgeView(view, incidents, knowledge);
  return { ...judged, runs: judged.runs.map((run) => ({ ...run, source: "heartbeat" })) };
}

function isAwaited(
  { pinged, schedule, expectedIntervalMinutes, createdAt }: Heartbeat,
  now: number,
): boolean {
  if (pinged) return true;
  return (schedule !== null || expectedIntervalMinutes !== null) && now - createdAt >= FIRST_PING_MS;
}

/** What other crons than pg_cron make of a schedule. */
function scheduleOf(text: string): Schedule {
  const schedule = parseSchedule(text);
  return schedule.kind === "cron" ? { ...schedule, onceInOverlap: true } : schedule;
}

function dueBy({ schedule, expectedIntervalMinutes }: Heartbeat): Schedule {
  if (schedule !== null) return scheduleOf(schedule);
  const minutes = expectedIntervalMinutes ?? UNDECLARED.intervalMinutes;
  return { kind: "interval", seconds: Math.round(minutes * 60), warnings: [] };
}

/** Nothing that a heartbeat's project is or has matters to it. */
const NO_PROJECT = {
  calls: new Map(),
  saturated: false,
  serverDownFrom: -Infinity,
  clockOff: false,
  clockWasOff: false,
  knownFrom: -Infinity,
  gaps: [],
  openSince: new Map<number, number>(),
  known: new Map<string, never>(),
};

/** What people wrote in the inventory; the heartbeat's own grace counts where that has none. */
function inventoryJob(
  { graceMinutes, schedule, expectedIntervalMinutes }: Heartbeat,
  shown: ObservedJob,
  known: InventoryJob | undefined,
  now: number,
): InventoryJob {
  const declared = schedule !== null || expectedIntervalMinutes !== null;
  return {
    ...UNANNOTATED,
    firstSeenAt: now,
    ...known,
    ...shown,
    removedAt: null,
    graceMinutes: known?.graceMinutes ?? graceMinutes ?? (declared ? null : UNDECLARED.graceMinutes),
  };
}

/** A heartbeat that never said a word, and of which nobody can say that it should have. */
function neverPinged({ id, jobName, jobUser, schedule, criticality, active }: InventoryJob): JudgedJob {
  const conclusion = active
    ? { status: "unknown", verdict: "never_pinged", summary: "it has never been pinged" } as const
    : { status: "paused", verdict: "paused", summary: "paused: nothing is expected of it" } as const;
  return {
    state: {
      ...{ jobInventoryId: id, ...conclusion, schedule, slotsSince: null, judgedUntil: null },
      ...{ lastRunAt: null, lastSuccessAt: null, consecutiveFailures: 0, recentRuns: [] },
    },
    ...{ runs: [], open: null, transitions: [], lastDue: null },
    report: { id, jobName, jobUser, schedule, criticality, ...conclusion, lastRunAt: null },
  };
}

/**
 * The runs that were heard of. One whose beginning was not told began when it ended, and took nobody knows how long.
 * What came after `last_run_at` was taken back by whoever set that.
 */
function sortEnds({ ends, open, lastRunAt }: Heartbeat): SortedRuns {
  const believed = ends.filter(({ kind, endedAt }) =>
    kind === "lost" || lastRunAt === null || endedAt <= lastRunAt
  );
  return {
    ended: believed.map(endedRun),
    open: open === null ? null : {
      ...{ runId: open.id, jobId: 0, status: "running", message: null },
      ...{ startedAt: open.startedAt, endedAt: null, pid: null },
    },
  };
}

function endedRun(end: HeartbeatEnd): EndedRun {
  const { id: runId, startedAt, endedAt } = end;
  if (end.kind === "lost") return { runId, status: "unknown", message: LOST, startedAt, endedAt: null };
  return {
    runId,
    status: end.kind === "fail" ? "failed" : "success",
    message: messageOf(end),
    startedAt: startedAt ?? endedAt,
    endedAt: startedAt === null ? null : endedAt,
  };
}

/** `exit code 3: no space left`. */
function messageOf({ exitCode, body }: HeartbeatEnd): string | null {
  const code = exitCode === null || exitCode === 0 ? "" : `exit code ${exitCode}`;
  const said = body?.trim() ?? "";
  return [code, said].filter((part) => part !== "").join(": ") || null;
}

/** What was known, without what whoever set `last_run_at` back has taken back. */
function rewound(before: JobState, { lastRunAt }: Heartbeat): JobState {
  const until = lastRunAt ?? Infinity;
  const kept = before.recentRuns.filter((run) => run.status === "running" || endOf(run) <= until);
  if (kept.length === before.recentRuns.length) return before;
  const at = (instant: number | null) => instant === null ? null : Math.min(instant, until);
  return {
    ...before,
    recentRuns: kept,
    lastRunAt: at(before.lastRunAt),
    lastSuccessAt: at(before.lastSuccessAt),
    slotsSince: at(before.slotsSince),
    judgedUntil: at(before.judgedUntil),
  };
}

function endOf({ startedAt, endedAt }: RecentRun): number {
  return Date.parse(endedAt ?? startedAt ?? "") || 0;
}

/** A heartbeat as pg_cron would show a job that it runs itself. */
function factsOf({ ends, timeZone }: Heartbeat, { now, limit }: { now: number; limit: number }): CronFacts {
  const newest = ends.at(-1)?.endedAt ?? now;
  return {
    now,
    serverStartedAt: 0,
    settings: { timeZone, logRun: true, maxRunningJobs: null, pgCronVersion: "", access: "readable" },
    launcherAlive: null,
    ...{ jobs: [], runs: [], reread: [], sessions: null, successChecks: [], cursor: null },
    reading: "first",
    // where there was more to read than one look takes, nothing is missed that is not read
    knownUntil: ends.length < limit ? now : Math.min(newest, now),
  };
}
