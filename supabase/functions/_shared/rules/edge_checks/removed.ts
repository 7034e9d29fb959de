/** Removed: a function of which a person still expects something is gone. */
import type { Expectations } from "../../domain/edge_function.ts";
import type { InventoryJob } from "../../domain/hub.ts";
import { formatUtc } from "../text.ts";
import type { FunctionCheck } from "./check.ts";

export const removed: FunctionCheck = {
  code: "removed",
  evaluate({ job, expectations }) {
    if (job.removedAt === null || !isExpected(job, expectations)) return null;
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

/** Whether a person expects a function to be there. A webhook that is gone was taken away by hand. */
export function isExpected(
  { jobType }: Pick<InventoryJob, "jobType">,
  { healthCheckUrl, maxSilenceMinutes }: Expectations,
): boolean {
  return jobType === "edge_function" && (healthCheckUrl !== null || maxSilenceMinutes !== null);
}
