/** Unhealthy: its health check fails, as often in a row as the threshold says; or cannot be asked at all. */
import { DEFAULTS } from "../../domain/edge_function.ts";
import type { FunctionCheck, FunctionView, Verdict } from "./check.ts";

export const unhealthy: FunctionCheck = {
  code: "unhealthy",
  evaluate(view) {
    const { job, expectations, ping } = view;
    if (job.removedAt !== null || expectations.healthCheckUrl === null || ping === null) return null;
    if (ping.outcome === "success" || ping.failuresInARow < pingThreshold(view)) return null;
    if (ping.outcome === "unknown") return notAsked(ping.message);
    const inARow = ping.failuresInARow > 1 ? `, ${ping.failuresInARow} times in a row` : "";
    return {
      code: "unhealthy",
      gravity: "outage",
      status: "failed",
      summary: `${ping.message ?? "its health check failed"}${inARow}`,
      detail: { consecutiveFailures: ping.failuresInARow },
    };
  },
};

/** What nobody could ask says nothing of the function. */
function notAsked(message: string | null): Verdict {
  return {
    code: "health_check_refused",
    gravity: "outage",
    status: "unknown",
    severity: "low",
    summary: message ?? "its health check cannot be asked",
    detail: {},
  };
}

/** How many health checks in a row have to fail. */
export function pingThreshold({ job }: Pick<FunctionView, "job">): number {
  return job.failureThreshold ?? DEFAULTS.healthCheckThreshold;
}
