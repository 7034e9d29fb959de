/** Throttled: Supabase itself holds the function back. */
import type { FunctionCheck } from "./check.ts";

export const throttled: FunctionCheck = {
  code: "throttled",
  evaluate({ job, deployed }) {
    if (job.removedAt !== null || deployed?.status !== "THROTTLED") return null;
    return {
      code: "throttled",
      gravity: "outage",
      status: "failed",
      summary: "Supabase throttles it: calls are held back or refused",
      detail: { cause: "the Management API shows its status as THROTTLED" },
    };
  },
};
