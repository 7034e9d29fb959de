/** HTTP calls: the last run succeeded for pg_cron, which only queued its calls; what became of those is the truth. */
import type { RecentCall } from "../../domain/http.ts";
import type { Check, JobView, Verdict } from "./check.ts";

export const httpCalls: Check = {
  code: "http_failed",
  evaluate(view) {
    const last = deciding(view);
    if (last === null || last.outcome === "success") return null;
    return last.outcome === "failed" ? failed(view, last) : unknown(view, last);
  },
};

/** Why a job whose calls failed less often than its threshold says is not healthy all the same. */
export function failedCallsBelowThreshold(view: JobView): string | null {
  const last = deciding(view);
  const threshold = view.job.failureThreshold ?? 1;
  const count = failuresInARow(view.calls.recent);
  if (last?.outcome !== "failed" || count >= threshold) return null;
  return `${last.message} (${count} of ${threshold} failures in a row that count as failed)`;
}

/** The calls of the last run, unless a later run ended that made none; those of the run before while some still wait. */
function deciding({ calls, lastFinished }: JobView): RecentCall | null {
  const last = calls.recent.at(-1);
  if (last === undefined) return null;
  const since = lastFinished?.startedAt ?? null;
  return since !== null && since > Date.parse(last.calledAt) && !calls.waiting ? null : last;
}

function failed(view: JobView, last: RecentCall): Verdict | null {
  const count = failuresInARow(view.calls.recent);
  if (count < (view.job.failureThreshold ?? 1)) return null;
  const inARow = count > 1 ? `, ${count} times in a row` : "";
  return {
    code: "http_failed",
    gravity: "outage",
    status: "failed",
    summary: `${last.message}${inARow}`,
    detail: { ...factsOf(view), errorMessage: last.message, consecutiveFailures: count },
  };
}

function unknown(view: JobView, last: RecentCall): Verdict {
  const severity = last.reason === "lost" ? "info" : "low";
  return {
    code: "http_unknown",
    gravity: "outage",
    status: "unknown",
    // what failed before and is unknown now has not become less grave
    ...(view.openOutage === null ? { severity } : {}),
    summary: last.message,
    detail: factsOf(view),
  };
}

/** The last success is that of a call: what pg_cron calls one is none. */
function factsOf({ calls }: JobView): Verdict["detail"] {
  return { lastSuccessAt: calls.recent.findLast(({ outcome }) => outcome === "success")?.calledAt ?? null };
}

function failuresInARow(recent: readonly RecentCall[]): number {
  let count = 0;
  for (const { outcome } of recent.toReversed()) {
    if (outcome === "success") break;
    if (outcome === "failed") count++;
  }
  return count;
}
