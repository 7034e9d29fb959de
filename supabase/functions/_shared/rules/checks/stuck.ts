/** Stuck: a run is in progress for longer than it may, or than it ever took. */
import type { RunSession } from "../../domain/facts.ts";
import type { JobType } from "../../domain/job.ts";
import { redact } from "../redact.ts";
import { runtimeLimit } from "../runtime.ts";
import { formatDuration, oneLine } from "../text.ts";
import type { Check, JobView } from "./check.ts";

const LIMITS = {
  annotated: "its max_runtime_minutes",
  learned: "several times the longest of its recent runs",
  default: "what a job of unknown duration may take",
} as const;

export const stuck: Check = {
  code: "stuck",
  evaluate(view) {
    if (view.open === null) return null;
    // the clock was set since the last look: nobody can say how long it has run
    if (view.clockWasOff) return null;
    const limit = runtimeLimit(view.job.maxRuntimeMinutes, view.recentRuns);
    const age = view.now - view.open.since;
    if (age <= limit.ms) return null;
    const status = view.open.run.status;
    return {
      code: "stuck",
      gravity: "outage",
      status: "failed",
      summary: `${status} for ${formatDuration(age)}, longer than ${formatDuration(limit.ms)} (${
        LIMITS[limit.source]
      })`,
      detail: {
        expectedAt: new Date(view.open.since).toISOString(),
        cause: causeOf(view.open, view.job.jobType),
      },
    };
  },
};

/** What it waits for and who is in its way, or why nobody can say; a heartbeat has no session. */
function causeOf({ run, session }: NonNullable<JobView["open"]>, jobType: JobType): string | null {
  if (jobType !== "pg_cron" || run.pid === null) return null;
  switch (session) {
    case "hidden":
      return "what its session waits for cannot be seen: grant pg_monitor to the role in the project's Postgres URL";
    case "gone":
      return `its session ${run.pid} is gone, although its row still says ${run.status}`;
    default:
      return waitOf(session);
  }
}

function waitOf(session: RunSession): string {
  const [blocker] = session.blockedBy;
  if (blocker !== undefined) {
    const others = session.blockedBy.length > 1 ? ` and ${session.blockedBy.length - 1} more` : "";
    const doing = oneLine(redact(blocker.query ?? "")).slice(0, 120).toWellFormed();
    return `session ${session.pid} waits for ${
      session.waitsFor ?? "a lock"
    }, held by session ${blocker.pid}${others}` +
      ` (${blocker.userName ?? "unknown role"}, ${blocker.state ?? "unknown state"}: ${doing})`;
  }
  return session.waitsFor === null
    ? `session ${session.pid} is at work`
    : `session ${session.pid} waits for ${session.waitsFor}`;
}
