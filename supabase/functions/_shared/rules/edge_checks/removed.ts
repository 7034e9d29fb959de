/** Removed: a function of which a person still expects something is gone. */
import type { Expectations } from "../../domain/edge_function.ts";
import { formatUtc } from "../text.ts";
import type { FunctionCheck } from "./check.ts";

export const removed: FunctionCheck = {
  code: "removed",
  evaluate({ job, expectations }) {
    if (job.removedAt === null || !isExpected(expectations)) return null;
    const since = formatUtc(new Date(job.removedAt));
    return {
      code: "removed",
      gravity: "outage",
      status: "failed",
      summary: `it was found removed at ${since}; ` +
        "clear its health_check_url and max_silence_minutes if that is right",
      detail: {},
    };
  },
};

/** Whether a person expects a function to be there. */
export function isExpected({ healthCheckUrl, maxSilenceMinutes }: Expectations): boolean {
  return healthCheckUrl !== null || maxSilenceMinutes !== null;
}
