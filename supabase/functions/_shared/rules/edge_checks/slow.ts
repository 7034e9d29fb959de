/** Slow: it answers, but takes longer than it should. */
import { DEFAULTS } from "../../domain/edge_function.ts";
import { formatDuration } from "../text.ts";
import type { FunctionCheck, FunctionView } from "./check.ts";
import { healthCheckThreshold } from "./unhealthy.ts";

export const slow: FunctionCheck = {
  code: "slow",
  evaluate(view) {
    if (view.job.removedAt !== null) return null;
    const summary = slowHealthCheck(view) ?? slowInvocations(view);
    return summary === null ? null : { code: "slow", gravity: "degraded", summary, detail: {} };
  },
};

function slowHealthCheck(view: FunctionView): string | null {
  const { expectations, health } = view;
  if (expectations.healthCheckUrl === null || health === null || health.latencyMs === null) return null;
  if (health.slowInARow < healthCheckThreshold(view)) return null;
  const limit = expectations.healthCheckMaxMs ?? DEFAULTS.healthCheckMaxMs;
  return `its health check took ${Math.round(health.latencyMs)} ms, more than ${limit} ms, ` +
    `${health.slowInARow} times in a row`;
}

/** `max_runtime_minutes`, for which an owner has to ask, against the average of the newest invocations. */
function slowInvocations({ job, recent }: FunctionView): string | null {
  if (job.maxRuntimeMinutes === null || recent === null || recent.invocations === 0) return null;
  const average = recent.durationTotalMs / recent.invocations;
  const limit = job.maxRuntimeMinutes * 60_000;
  if (average <= limit) return null;
  return `its last ${recent.invocations} invocations took ${formatDuration(average)} on average, ` +
    `more than ${formatDuration(limit)}`;
}
