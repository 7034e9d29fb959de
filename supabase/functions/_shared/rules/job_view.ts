/** All that is known of one job at one look: what its checks see. */
import type { CronFacts, CronRun } from "../domain/facts.ts";
import type { InventoryJob, JobState, OpenIncident, RowSeen } from "../domain/hub.ts";
import type { HttpCall } from "../domain/http.ts";
import { UNANNOTATED } from "../domain/job.ts";
import type { ObservedJob } from "../domain/observation.ts";
import { type FinishedRun, isDegraded, type JobView } from "./checks/check.ts";
import { editedSince, judgeDue, rowSeen, runSpans, slotsSince } from "./due_slots.ts";
import { graceMinutes } from "./grace.ts";
import { judgeCalls, type JudgedCalls } from "./http_calls.ts";
import { type EndedRun, keepRecent, type SortedRuns, sortRuns } from "./runs.ts";
import { parseSchedule, type Schedule } from "./schedule.ts";
import type { Gap } from "./slot_judgement.ts";

const MINUTE_MS = 60_000;

/** pg_cron gives up a start after 10 seconds: a row that is older and never got to its command is what a crash left. */
const START_UP_LIMIT_MS = 60_000;

/** What the project as a whole adds to the view of each job. */
export interface ProjectView {
  saturated: boolean;
  /** The last sign of life before the server's start: epoch milliseconds, `-Infinity` if there is none. */
  serverDownFrom: number;
  /** Whether its clock can be trusted. */
  clockOff: boolean;
  /** Whether it could not be at the last look. */
  clockWasOff: boolean;
  /** Runs that started before may be gone from its history: slots up to here are not judged. */
  knownFrom: number;
  /** Since then, where rows are missing. */
  gaps: readonly Gap[];
  /** By run id: when a run in progress was first seen, by the project's clock. */
  openSince: ReadonlyMap<number, number>;
  /** The inventory by id. */
  known: ReadonlyMap<string, InventoryJob>;
  /** HTTP calls of this look, by inventory id. */
  calls: ReadonlyMap<string, readonly HttpCall[]>;
  /** Unresolved incidents of jobs, by inventory id. */
  incidents: ReadonlyMap<string, readonly OpenIncident[]>;
}

/** A {@link JobView}, with what only its conclusion and its transitions need. */
export interface FullView extends JobView {
  sorted: SortedRuns;
  calls: JudgedCalls;
  /** `null`: no slot is judged (paused, or a schedule without slots). */
  slotsSince: number | null;
  rowSeen: RowSeen | null;
  clockOff: boolean;
}

/** A job's runs since the last look, told apart, and when it is due. */
export interface SeenRuns {
  sorted: SortedRuns;
  schedule: Schedule;
  /** One that was in progress at the last look, and whose row is gone since. */
  vanished?: EndedRun | null;
}

/**
 * The view of a job that the project shows.
 *
 * @param rows Its rows after the last look, by run id.
 */
export function viewOf(
  shown: ObservedJob,
  known: InventoryJob | undefined,
  previous: JobState | null,
  rows: readonly CronRun[],
  facts: CronFacts,
  around: ProjectView,
): FullView {
  // a restored history holds runs again that were logged before it was lost
  const fresh = facts.reading === "restored" && previous !== null
    ? rows.filter((row) => (row.startedAt ?? 0) > (previous.lastRunAt ?? 0))
    : rows;
  const schedule = parseSchedule(shown.schedule ?? "", { pgCronVersion: facts.settings.pgCronVersion });
  const sorted = sortRuns(fresh, facts.serverStartedAt);
  const seen = { sorted, schedule, vanished: vanishedRun(previous, fresh) };
  return viewOfRuns(shown, known, previous, seen, facts, around);
}

/** The view of any job whose runs are known, wherever it runs. */
export function viewOfRuns(
  shown: ObservedJob,
  known: InventoryJob | undefined,
  previous: JobState | null,
  { sorted: found, schedule, vanished }: SeenRuns,
  facts: CronFacts,
  around: ProjectView,
): FullView {
  const starts = [...found.ended, ...found.open === null ? [] : [found.open]]
    .flatMap(({ startedAt }) => startedAt ?? []);
  const sorted = vanished ? { ...found, ended: [vanished, ...found.ended] } : found;
  const history = historyOf(previous, sorted.ended, starts, facts.now);
  const job = { ...UNANNOTATED, firstSeenAt: facts.now, ...known, ...shown, removedAt: null };
  const grace = graceMinutes({
    intervalMinutes: shown.expectedIntervalMinutes,
    annotatedMinutes: job.graceMinutes,
  });
  const judgeable = shown.active && facts.settings.logRun === true && !around.clockOff;
  const sameJob = known === undefined || known.jobId === null || known.jobId === shown.jobId;
  const since = judgeable
    ? slotsSince(shown, schedule, sameJob ? previous : null, history.lastRunAt, facts)
    : null;
  const slots = since === null ? { missed: [], lastDecided: null, judgedUntil: facts.knownUntil } : judgeDue(
    schedule,
    Math.max(since.judgedUntil, around.knownFrom),
    runSpans(previous, sorted, facts.now),
    grace * MINUTE_MS,
    facts,
    { gaps: around.gaps, edited: editedSince(shown, previous, facts.now) },
  );
  return {
    job,
    schedule,
    settings: facts.settings,
    launcherAlive: facts.launcherAlive,
    serverStartedAt: facts.serverStartedAt,
    serverDownFrom: around.serverDownFrom,
    now: facts.now,
    clockWasOff: around.clockWasOff || previous?.verdict === "clock_off",
    previous,
    lastFinished: sorted.ended.at(-1) ?? lastFinishedBefore(previous),
    newStarts: starts,
    recentRuns: keepRecent(previous?.recentRuns ?? [], sorted, {
      undecidedFrom: slots.judgedUntil,
      now: facts.now,
    }),
    slots,
    graceMinutes: grace,
    intervalMinutes: shown.expectedIntervalMinutes,
    open: openRunOf(sorted.open, facts, around.openSince),
    successCheck: facts.successChecks.find((answer) => answer.jobId === shown.jobId) ?? null,
    calls: callsOf(shown.id, job.checkBodyOk, previous, sorted, facts, around),
    warnings: shown.warnings ?? [],
    saturated: around.saturated,
    openOutage: around.incidents.get(shown.id)?.find(({ code }) => !isDegraded(code)) ?? null,
    clockOff: around.clockOff,
    sorted,
    slotsSince: since?.slotsSince ?? null,
    rowSeen: rowSeen(shown, previous, facts.now),
    ...history,
  };
}

function callsOf(
  jobInventoryId: string,
  checkBodyOk: boolean | null,
  previous: JobState | null,
  sorted: SortedRuns,
  facts: CronFacts,
  around: ProjectView,
): JudgedCalls {
  const calls = around.calls.get(jobInventoryId) ?? [];
  const before = previous?.recentCalls ?? [];
  // of runs that are not kept, too; but few jobs make calls
  const runs = calls.length + before.length === 0
    ? []
    : keepRecent(previous?.recentRuns ?? [], sorted, { undecidedFrom: -Infinity, now: facts.now });
  return judgeCalls({
    ...{ jobInventoryId, calls, before, runs },
    bodyOk: checkBodyOk === true ? "checked" : "not checked",
  });
}

/** A run that was in progress at the last look and whose row is gone has ended, or not: nobody can say. */
function vanishedRun(previous: JobState | null, rows: readonly CronRun[]): EndedRun | null {
  const before = previous?.recentRuns.findLast(({ status }) => status === "running");
  if (before === undefined || before.runId === null) return null;
  const { runId, startedAt } = before;
  if (rows.some((row) => row.runId === runId)) return null;
  const message = "its row was deleted before it ended";
  return { runId, status: "unknown", message, startedAt: ms(startedAt), endedAt: null };
}

function openRunOf(
  run: CronRun | null,
  facts: CronFacts,
  openSince: ReadonlyMap<number, number>,
): JobView["open"] {
  if (run === null) return null;
  const since = run.startedAt ?? openSince.get(run.runId) ?? facts.now;
  if (run.startedAt === null && facts.now - since > START_UP_LIMIT_MS) return null;
  return { run, since, session: sessionOf(run, facts) };
}

function sessionOf({ pid }: CronRun, { sessions }: CronFacts): NonNullable<JobView["open"]>["session"] {
  if (pid === null || sessions === null) return "hidden";
  return sessions.find((session) => session.pid === pid) ?? "gone";
}

/** Counts that go on from check to check. */
function historyOf(
  previous: JobState | null,
  ended: readonly EndedRun[],
  starts: readonly number[],
  now: number,
) {
  let consecutiveFailures = previous?.consecutiveFailures ?? 0;
  let lastSuccessAt = previous?.lastSuccessAt ?? null;
  for (const run of ended) {
    if (run.status === "failed") consecutiveFailures++;
    if (run.status !== "success") continue;
    consecutiveFailures = 0;
    lastSuccessAt = run.startedAt ?? run.endedAt ?? lastSuccessAt;
  }
  // what seems to have started in the future ran when the clock was wrong
  if (lastSuccessAt !== null) lastSuccessAt = Math.min(lastSuccessAt, now);
  const latest = starts.reduce<number | null>(
    (latest, startedAt) => Math.max(latest ?? startedAt, startedAt),
    previous?.lastRunAt ?? null,
  );
  const lastRunAt = latest === null ? null : Math.min(latest, now);
  return { consecutiveFailures, lastSuccessAt, lastRunAt };
}

function lastFinishedBefore(previous: JobState | null): FinishedRun | null {
  const last = previous?.recentRuns.findLast((run) => run.status !== "running");
  if (last === undefined || last.status === "running") return null;
  return {
    status: last.status,
    message: last.message ?? null,
    startedAt: ms(last.startedAt),
    endedAt: ms(last.endedAt),
  };
}

function ms(instant: string | null): number | null {
  return instant === null ? null : Date.parse(instant);
}
