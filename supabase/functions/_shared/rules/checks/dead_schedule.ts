/** Schedules that pg_cron will never run: invalid for its version, or valid and without any date. */
import { faultMessage } from "../schedule.ts";
import type { Check } from "./check.ts";

export const deadSchedule: Check = {
  code: "schedule_dead",
  evaluate(view) {
    if (view.schedule.kind === "invalid") {
      return {
        code: "schedule_invalid",
        gravity: "outage",
        status: "unknown",
        summary: `${
          view.job.jobType === "pg_cron" ? "pg_cron never runs it" : "nobody can say when it is due"
        }: ${faultMessage(view.job.schedule ?? "", view.schedule)}`,
        detail: {},
      };
    }
    const never = view.schedule.warnings.find((warning) => warning.code === "never_fires");
    if (never === undefined) return null;
    // people write 31 February to switch a job off: worth a note, not a call at night
    return {
      code: "never_fires",
      gravity: "degraded",
      status: "unknown",
      summary: never.message,
      detail: {},
    };
  },
};
