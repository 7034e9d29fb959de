/** Unhealthy: its health check fails, as often in a row as the threshold says; or cannot be asked at all. */
import { DEFAULTS } from "../../domain/edge_function.ts";
import type { FunctionCheck, FunctionView, Verdict } from "./check.ts";

export const unhealthy: FunctionCheck = {
  code: "unhealthy",
  evaluate(view) {
    const { job, expectations, health } = view;
    if (job.removedAt !== null || expectations.healthCheckUrl === null || health === null) return null;
    if (health.outcome === "success" || health.failuresInARow < healthCheckThreshold(view)) return null;
    if (health.outcome === "unknown") return notAsked(health.message);
    const inARow = health.failuresInARow > 1 ? `, ${health.failuresInARow} times in a row` : "";
    return {
      code: "unhealthy",
      gravity: "outage",
      status: "failed",
      summary: `${health.message ?? "its health check failed"}${inARow}`,
      detail: { consecutiveFailures: health.failuresInARow },
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
export function healthCheckThreshold({ job }: Pick<FunctionView, "job">): number {
  return job.failureThreshold ?? DEFAULTS.healthCheckThreshold;
}
