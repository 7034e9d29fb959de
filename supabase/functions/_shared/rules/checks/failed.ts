/** Failed: the last finished run failed, as often in a row as the job's threshold says. */
import { redact } from "../redact.ts";
import type { Check } from "./check.ts";

/** pg_cron's message for runs that a restart cut off. */
const SERVER_RESTARTED = "server restarted";

export const failed: Check = {
  code: "failed",
  evaluate(view) {
    const last = view.lastFinished;
    const threshold = view.job.failureThreshold ?? 1;
    if (last?.status !== "failed" || view.consecutiveFailures < threshold) return null;
    const inARow = view.consecutiveFailures > 1
      ? `the last ${view.consecutiveFailures} runs failed`
      : "the last run failed";
    const said = firstLine(last.message);
    return {
      code: "failed",
      gravity: "outage",
      status: "failed",
      summary: said === "" ? inARow : `${inARow}: ${said}`,
      detail: {
        expectedAt: iso(last.startedAt ?? last.endedAt),
        errorMessage: last.message,
        consecutiveFailures: view.consecutiveFailures,
        cause: last.message === SERVER_RESTARTED ? "the server restarted while the job ran" : null,
      },
    };
  },
};

function firstLine(message: string | null): string {
  const line = redact(message ?? "").split("\n", 1)[0]?.trim() ?? "";
  return line.length > 200 ? `${line.slice(0, 199).toWellFormed()}…` : line;
}

function iso(instant: number | null): string | null {
  return instant === null ? null : new Date(instant).toISOString();
}
