/** Never ran: slots came and went since the job is known, and there is no run at all. */
import { describeSchedule } from "../schedule.ts";
import { formatUtc } from "../text.ts";
import type { Check, JobView, Verdict } from "./check.ts";
import { causeOfMiss } from "./missed.ts";

export const neverRan: Check = {
  code: "never_ran",
  evaluate(view) {
    if (view.lastFinished !== null || view.lastRunAt !== null || view.open !== null) return null;
    const { openOutage, previous } = view;
    const goesOn = previous?.schedule === view.job.schedule &&
      (previous.verdict === "never_ran" || openOutage?.code === "never_ran");
    const before = goesOn && openOutage?.code === "never_ran" ? openOutage.detail : null;
    const missed = view.slots.missed;
    const first = before?.expectedAt ? Date.parse(before.expectedAt) : missed[0];
    if (first === undefined) return goesOn ? heldBefore(view) : null;
    const count = (before?.missedSlots ?? 0) + missed.length;
    const slots = count === 1 ? "its first slot" : `${count} slots`;
    return {
      code: "never_ran",
      gravity: "outage",
      status: "missed",
      summary: `it has never run: ${slots} passed since ${formatUtc(new Date(first))} (${
        describeSchedule(view.schedule)
      })`,
      detail: {
        expectedAt: new Date(first).toISOString(),
        missedSlots: count,
        graceMinutes: view.graceMinutes,
        cause: causeOfMiss(view, first),
      },
    };
  },
};

/** It was told in an incident of the project, and no slot has come since. */
function heldBefore(view: JobView): Verdict {
  return {
    code: "never_ran",
    gravity: "outage",
    status: "missed",
    told: true,
    summary: (view.previous?.status === "missed" ? view.previous.summary : null) ?? "it has never run",
    detail: { graceMinutes: view.graceMinutes, cause: causeOfMiss(view, null) },
  };
}
