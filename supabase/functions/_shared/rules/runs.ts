/** Sorts a job's new rows of `cron.job_run_details` into runs that ended and runs in progress. */
import type { CronRun } from "../domain/facts.ts";
import type { RecentRun } from "../domain/run.ts";
import type { LoggedRun } from "../domain/observation.ts";
import type { FinishedRun } from "./checks/check.ts";

/** How many runs a job's state keeps at least: for the strip in alerts, and to know what is usual. */
const RECENT_RUNS = 24;
/** And at most, when many may still matter to undecided slots. */
const RECENT_RUNS_LIMIT = 200;

/** pg_cron's own message where a job was paused or unscheduled while it ran: somebody's wish, not a failure. */
const CANCELED = "job canceled";

/** A run with its id. */
export interface EndedRun extends FinishedRun {
  runId: number;
}

/** A job's rows, told apart. */
export interface SortedRuns {
  /** By run id. */
  ended: EndedRun[];
  /** At most one: pg_cron runs a job once at a time. */
  open: CronRun | null;
}

/**
 * Tells ended runs from the one in progress. An unended row that is not the job's newest, or that is older than
 * the server's start, is a zombie of a crash (`connecting` and `sending` rows stay for ever): it ended without
 * saying how.
 *
 * @param rows The job's rows by run id, ascending.
 * @param serverStartedAt Epoch milliseconds.
 */
export function sortRuns(rows: readonly CronRun[], serverStartedAt: number): SortedRuns {
  const sorted: SortedRuns = { ended: [], open: null };
  rows.forEach((row, index) => {
    const { runId, startedAt, endedAt } = row;
    if (row.status === "succeeded") {
      sorted.ended.push({ runId, status: "success", message: row.message, startedAt, endedAt });
    } else if (row.status === "failed" && row.message === CANCELED) {
      const message = "canceled: the job was paused or unscheduled while it ran";
      sorted.ended.push({ runId, status: "unknown", message, startedAt, endedAt });
    } else if (row.status === "failed") {
      sorted.ended.push({ runId, status: "failed", message: row.message, startedAt, endedAt });
    } else if (index < rows.length - 1 || (startedAt !== null && startedAt < serverStartedAt)) {
      const message = `never ended: cut off while ${row.status}`;
      sorted.ended.push({ runId, status: "unknown", message, startedAt, endedAt: null });
    } else sorted.open = row;
  });
  return sorted;
}

/** The row of `job_health_log` for an ended run. */
export function loggedRun(jobInventoryId: string, run: EndedRun): LoggedRun {
  const durationMs = run.startedAt !== null && run.endedAt !== null
    ? Math.max(0, run.endedAt - run.startedAt)
    : null;
  return {
    jobInventoryId,
    status: run.status,
    errorMessage: run.status === "success" ? null : run.message,
    runAt: run.startedAt ?? run.endedAt,
    runId: run.runId,
    durationMs,
    source: "pg_cron",
  };
}

/** The row of `job_health_log` for a slot that nothing ran for. */
export function loggedMiss(jobInventoryId: string, slot: number): LoggedRun {
  return {
    jobInventoryId,
    status: "missed",
    errorMessage: null,
    runAt: slot,
    runId: null,
    durationMs: null,
    source: "pg_cron",
  };
}

/**
 * The runs to keep with the job's state, newest last: the last two dozen, and older ones that an undecided slot may
 * still be matched with. What seems to have started or ended in the future did so when the clock was wrong: it keeps no
 * such time, or it would stand for a slot once that has come, and pass for a long run.
 *
 * @param now The project's clock.
 */
export function keepRecent(
  before: readonly RecentRun[],
  sorted: SortedRuns,
  { undecidedFrom, now }: { undecidedFrom: number; now: number },
): RecentRun[] {
  const past = before.filter((run) => run.status !== "running");
  const count = past.length + sorted.ended.length;
  const isNeeded = (startedAt: number | null, index: number) =>
    index >= count - RECENT_RUNS || (startedAt !== null && startedAt >= undecidedFrom && startedAt <= now);
  const needed = [
    ...past.filter(({ startedAt }, index) =>
      isNeeded(startedAt === null ? null : Date.parse(startedAt), index)
    ),
    // a first look has thousands: only those that are kept are written out
    ...sorted.ended.filter(({ startedAt }, index) => isNeeded(startedAt, past.length + index)).map(recentRun),
  ].map((run) => withoutFuture(run, now)).slice(-RECENT_RUNS_LIMIT);
  if (sorted.open === null) return needed;
  return [...needed, {
    runId: sorted.open.runId,
    status: "running",
    startedAt: iso(sorted.open.startedAt),
    endedAt: null,
  }];
}

function recentRun({ runId, status, message, startedAt, endedAt }: EndedRun): RecentRun {
  return {
    ...{ runId, status, startedAt: iso(startedAt), endedAt: iso(endedAt) },
    ...(status === "success"
      ? { rows: rowsOf(message) }
      : { message: message?.slice(0, 500).toWellFormed() ?? null }),
  };
}

function withoutFuture(run: RecentRun, now: number): RecentRun {
  const future = (instant: string | null) => instant !== null && Date.parse(instant) > now;
  if (future(run.startedAt)) return { ...run, startedAt: null, endedAt: null };
  return future(run.endedAt) ? { ...run, endedAt: null } : run;
}

/** Rows in what pg_cron kept of a success: a command tag (`INSERT 0 5`, `UPDATE 3`) or `5 rows`. */
export function rowsOf(message: string | null): number | null {
  const tag = /^(?:INSERT \d+|UPDATE|DELETE|SELECT|MERGE|COPY|MOVE|FETCH) (\d+)$|^(\d+) rows?$/;
  const found = tag.exec(message?.trim() ?? "");
  return found === null ? null : Number(found[1] ?? found[2]);
}

function iso(instant: number | null): string | null {
  return instant === null ? null : new Date(instant).toISOString();
}
