/** Slow: the last run took far longer than the job's runs do, or than its owner allows. */
import { durationsOf, percentile95 } from "../runtime.ts";
import { formatDuration } from "../text.ts";
import type { Check } from "./check.ts";

/** Runs that "usual" can be learned from. */
const RUNS_TO_LEARN = 20;
/** Far longer: three times the 95th percentile, and at least a minute more. */
const FACTOR = 3;
const LEAST_EXCESS_MS = 60_000;

export const slow: Check = {
  code: "slow",
  evaluate(view) {
    if (view.lastFinished?.status !== "success") return null;
    const ended = view.recentRuns.findLast(({ status }) => status !== "running");
    const [last] = durationsOf(ended === undefined ? [] : [ended]);
    // nobody knows how long a run took that began or ended when the clock was wrong
    if (last === undefined) return null;
    const durations = durationsOf(view.recentRuns);
    const annotated = view.job.maxRuntimeMinutes;
    const usual = durations.length > RUNS_TO_LEARN ? percentile95(durations.slice(0, -1)) : null;
    const tooLong = annotated !== null
      ? last > annotated * 60_000
      : usual !== null && last > Math.max(FACTOR * usual, usual + LEAST_EXCESS_MS);
    if (!tooLong) return null;
    const than = annotated !== null
      ? `longer than its max_runtime_minutes (${annotated})`
      : `far longer than usual (95 % of its runs take ${formatDuration(usual ?? 0)} or less)`;
    return {
      code: "slow",
      gravity: "degraded",
      summary: `the last run took ${formatDuration(last)}, ${than}`,
      detail: {},
    };
  },
};
