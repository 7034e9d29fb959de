/** Failing: too many of its newest invocations failed, or several in a row. */
import { DEFAULTS, type LastFailure } from "../../domain/edge_function.ts";
import { ratePhrase, type RecentInvocations } from "../invocations.ts";
import { redact } from "../redact.ts";
import { oneLine } from "../text.ts";
import type { FunctionCheck, FunctionView } from "./check.ts";

export const failing: FunctionCheck = {
  code: "failing",
  evaluate(view) {
    const { job, recent } = view;
    if (job.removedAt !== null || recent === null) return null;
    const tooMany = isRateExceeded(view, recent);
    if (!tooMany && recent.failedInARow < invocationThreshold(view)) return null;
    const failure = toldFailure(view.lastFailure, recent);
    const what = tooMany ? ratePhrase(recent) : inARowPhrase(recent);
    const said = failure === null ? "" : oneLine(redact(failure)).slice(0, 200).toWellFormed();
    return {
      code: "failing",
      gravity: "outage",
      status: "failed",
      summary: said === "" ? what : `${what}: ${said}`,
      detail: {
        expectedAt: new Date(recent.newestAt).toISOString(),
        errorMessage: failure,
        ...(recent.failedInARow > 1 ? { consecutiveFailures: recent.failedInARow } : {}),
      },
    };
  },
};

/** How many invocations in a row have to fail. */
export function invocationThreshold({ job }: Pick<FunctionView, "job">): number {
  return job.failureThreshold ?? DEFAULTS.invocationThreshold;
}

/** Whether the share of failures is too great, among invocations enough to say so. */
export function isRateExceeded({ expectations }: FunctionView, recent: RecentInvocations): boolean {
  const enough = recent.invocations >= (expectations.minInvocations ?? DEFAULTS.minInvocations);
  const limit = expectations.maxErrorPercent ?? DEFAULTS.maxErrorPercent;
  return enough && 100 * recent.errors >= limit * recent.invocations;
}

function inARowPhrase({ failedInARow }: RecentInvocations): string {
  return failedInARow === 1 ? "its last invocation failed" : `its last ${failedInARow} invocations failed`;
}

/** What the wrapper told of a failure among these invocations. */
function toldFailure(failure: LastFailure | null, recent: RecentInvocations): string | null {
  if (failure === null || failure.at < recent.oldestAt) return null;
  const said = [failure.errorName, failure.errorMessage].filter((part) => part !== null && part !== "");
  if (said.length > 0) return said.join(": ");
  return failure.httpStatus === null ? null : `it answered ${failure.httpStatus}`;
}
