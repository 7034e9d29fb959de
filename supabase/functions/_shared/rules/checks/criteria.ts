/** Criteria not met: the run succeeded, and what its owner calls success did not happen. */
import { redact } from "../redact.ts";
import { oneLine } from "../text.ts";
import type { Check, JobView, Verdict } from "./check.ts";

export const criteria: Check = {
  code: "criteria_not_met",
  evaluate(view) {
    if (view.lastFinished?.status !== "success") return null;
    const tooFew = rowsMissing(view);
    if (tooFew !== null) return verdict(view, tooFew);
    if (view.job.successCheckSql === null) return rowsUntold(view);
    const answer = view.successCheck;
    if (answer === null) {
      // also where something else was told of the job meanwhile
      return view.previous?.verdict === "criteria_not_met" || view.openOutage?.code === "criteria_not_met"
        ? verdict(view, "its success check has not held")
        : null;
    }
    if (answer.held === true) return null;
    if (answer.held === false) {
      return verdict(view, "the run succeeded, but its success_check_sql answered false");
    }
    const why = oneLine(redact(answer.error ?? "")).slice(0, 300).toWellFormed();
    return nobodyKnows(view, `its success_check_sql failed (${why})`);
  },
};

function rowsMissing(view: JobView): string | null {
  const { minRows } = view.job;
  const rows = rowsOfLast(view);
  if (minRows === null || rows === null || rows >= minRows) return null;
  return `the run succeeded, but with ${rows} rows instead of ${minRows} or more`;
}

/** `CALL`, `DO` and the like say nothing of rows: a criterion that nobody can check is not met. */
function rowsUntold(view: JobView): Verdict | null {
  if ((view.job.minRows ?? 0) === 0 || rowsOfLast(view) !== null) return null;
  return nobodyKnows(view, "what it said at its end tells no number of rows for min_rows");
}

function rowsOfLast({ recentRuns }: JobView): number | null {
  return recentRuns.findLast((run) => run.status === "success")?.rows ?? null;
}

function nobodyKnows(view: JobView, why: string): Verdict {
  return {
    ...verdict(view, `nobody can say whether it worked: ${why}`),
    status: "unknown",
    severity: "low",
  };
}

function verdict(view: JobView, summary: string): Verdict {
  const at = view.lastFinished?.startedAt ?? null;
  return {
    code: "criteria_not_met",
    gravity: "outage",
    status: "failed",
    summary,
    detail: { expectedAt: at === null ? null : new Date(at).toISOString() },
  };
}
