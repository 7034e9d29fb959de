/** How long a job usually runs, learned from its own history. Durations are milliseconds. */
import type { RecentRun } from "../domain/run.ts";

const MINUTE_MS = 60_000;

/** Without anything to learn from, a run counts as stuck after this. */
const DEFAULT_LIMIT_MS = 120 * MINUTE_MS;
/** A learned limit is never shorter: jobs of a second may well take minutes once. */
const LEAST_LIMIT_MS = 10 * MINUTE_MS;
/** Runs that a limit can be learned from, and how much longer than the longest is too long: of few runs, of many. */
const RUNS_TO_LEARN_LIMIT = 5;
const LIMIT_FACTOR_OF_FEW = 10;
const MANY_RUNS = 20;
const LIMIT_FACTOR = 5;
/** Past the default limit so much longer than the longest: it may have hung itself. */
const LONG_FACTOR = 2;

/** Durations of the runs that ended, oldest first. */
export function durationsOf(runs: readonly RecentRun[]): number[] {
  return runs.flatMap(({ startedAt, endedAt }) =>
    startedAt === null || endedAt === null ? [] : [Math.max(0, Date.parse(endedAt) - Date.parse(startedAt))]
  );
}

/** After how long a run is stuck, and where that number comes from. */
export interface RuntimeLimit {
  ms: number;
  source: "annotated" | "learned" | "default";
}

/** The limit of a run: `max_runtime_minutes`, else several times the longest of its recent successes, else two hours. */
export function runtimeLimit(annotatedMinutes: number | null, recent: readonly RecentRun[]): RuntimeLimit {
  if (annotatedMinutes !== null) return { ms: annotatedMinutes * MINUTE_MS, source: "annotated" };
  const durations = durationsOf(recent.filter(({ status }) => status === "success"));
  if (durations.length < RUNS_TO_LEARN_LIMIT) return { ms: DEFAULT_LIMIT_MS, source: "default" };
  const factor = durations.length < MANY_RUNS ? LIMIT_FACTOR_OF_FEW : LIMIT_FACTOR;
  const longest = Math.max(...durations);
  const most = Math.max(DEFAULT_LIMIT_MS, LONG_FACTOR * longest);
  return { ms: Math.min(most, Math.max(LEAST_LIMIT_MS, factor * longest)), source: "learned" };
}

/** The value that 95 % of the given ones do not exceed, interpolated as Postgres' `percentile_cont` does. */
export function percentile95(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const position = 0.95 * (sorted.length - 1);
  const low = sorted[Math.floor(position)];
  const high = sorted[Math.ceil(position)];
  return low === undefined || high === undefined ? null : low + (high - low) * (position % 1);
}
