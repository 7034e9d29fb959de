/** Overrun: runs take longer than the time between two of them: pg_cron queues them ever later, elsewhere they overlap. */
import { durationsOf } from "../runtime.ts";
import { formatDuration } from "../text.ts";
import type { Check } from "./check.ts";

/** So many runs in a row have to be too long: one slow run is no trend. */
const RUNS_IN_A_ROW = 3;

export const overrun: Check = {
  code: "overrun",
  evaluate(view) {
    if (view.intervalMinutes === null) return null;
    const intervalMs = view.intervalMinutes * 60_000;
    const durations = durationsOf(view.recentRuns);
    const running = view.open === null ? 0 : view.now - view.open.since;
    // how long the one in progress takes is known only once it is too long
    const last = [...durations, ...(running > intervalMs ? [running] : [])].slice(-RUNS_IN_A_ROW);
    if (last.length < RUNS_IN_A_ROW || last.some((duration) => duration <= intervalMs)) return null;
    const shortest = Math.min(...last);
    return {
      code: "overrun",
      gravity: "degraded",
      summary: `runs take ${formatDuration(shortest)} and more, and are due every ${
        formatDuration(intervalMs)
      }${view.job.jobType === "pg_cron" ? ": pg_cron queues them" : ""}`,
      detail: {
        cause: view.saturated
          ? `all ${view.settings.maxRunningJobs} places of cron.max_running_jobs are taken`
          : null,
      },
    };
  },
};
