/** What a check concludes about one job from its view: a state, the verdicts that led to it, or the doubt. */
import type { JobStatus } from "../domain/job.ts";
import type { Verdict } from "./checks/check.ts";
import { failedCallsBelowThreshold } from "./checks/http_calls.ts";
import { checks, checksWithoutClock } from "./checks/mod.ts";
import type { FullView } from "./job_view.ts";
import { MISSING_GRANT } from "./known_settings.ts";
import { isTimeZone } from "./schedule.ts";

/** What a check concluded: a state, the verdicts that led to it (the most telling first), or the doubt. */
export interface Conclusion {
  status: JobStatus;
  verdicts: Verdict[];
  /** One word for the state: the first verdict's code, or the doubt. */
  code: string | null;
  summary: string;
}

/** Asks every check; where none finds anything, healthy still needs a success that nothing has put in doubt. */
export function conclude(view: FullView): Conclusion {
  if (!view.job.active) {
    const summary = view.job.jobType === "pg_cron"
      ? "paused in pg_cron"
      : "paused: nothing is expected of it";
    return { status: "paused", verdicts: [], code: "paused", summary };
  }
  const asked = view.clockOff ? checksWithoutClock : checks;
  const verdicts = asked.flatMap((check) => check.evaluate(view) ?? []);
  const [main] = verdicts;
  if (main?.status !== undefined) {
    return { status: main.status, verdicts, code: main.code, summary: main.summary };
  }
  const doubt = doubtOf(view);
  const status = doubt === null ? "healthy" : "unknown";
  // what is over is told now, and is no word about how the job is
  const code = (main?.gravity === "over" ? null : main?.code) ?? doubt?.[0] ?? null;
  return { status, verdicts, code, summary: main?.summary ?? doubt?.[1] ?? "the last run succeeded" };
}

/** Why a job without a verdict is still not healthy: healthy needs a success that nothing has put in doubt. */
function doubtOf(view: FullView): [reason: string, summary: string] | null {
  if (view.clockOff) return ["clock_off", "the project's clock is far off, so nobody can say what is due"];
  const { logRun, timeZone } = view.settings;
  if (logRun === false) {
    return ["log_run_off", "cron.log_run is off on this project: no run leaves a trace"];
  }
  if (logRun === null) {
    return ["log_run_unknown", `cron.log_run cannot be read, and no run has been seen yet: ${MISSING_GRANT}`];
  }
  if (view.schedule.kind === "cron" && (timeZone === null || !isTimeZone(timeZone))) {
    return ["time_zone_unknown", timeZoneDoubt(view)];
  }
  if (view.lastFinished === null) {
    return view.open === null
      ? ["no_run_yet", "no run has been seen yet"]
      : ["first_run", "the first run that was seen is in progress"];
  }
  if (view.lastFinished.status === "unknown") {
    return ["cut_off", view.lastFinished.message ?? "the last run never said how it ended"];
  }
  if (view.lastFinished.status === "failed") {
    const threshold = view.job.failureThreshold ?? 1;
    return [
      "below_threshold",
      `${view.consecutiveFailures} of ${threshold} failures in a row that count as failed`,
    ];
  }
  const calls = failedCallsBelowThreshold(view);
  return calls === null ? null : ["below_threshold", calls];
}

function timeZoneDoubt({ job, settings: { access, timeZone } }: FullView): string {
  const where = job.jobType === "pg_cron" ? "cron.timezone" : "its time zone";
  if (timeZone !== null) return `${where} is "${timeZone}", which is no known time zone`;
  return access === "no_privilege"
    ? `cron.timezone cannot be read, so that nobody can say when it is due: ${MISSING_GRANT}`
    : "pg_cron is not loaded (shared_preload_libraries), so that nobody can say when it is due";
}
