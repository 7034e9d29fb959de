/** Missed: a slot is past its grace, and nothing has run since. */
import { describeSchedule } from "../schedule.ts";
import type { Check, JobView } from "./check.ts";

export const missed: Check = {
  code: "missed",
  evaluate(view) {
    const newest = view.slots.missed.at(-1);
    const missedNow = newest !== undefined && newest === view.slots.lastDecided;
    if (!missedNow && !stillMissed(view)) return null;
    const before = view.previous?.verdict === "missed" ? view.openDetail?.missedSlots ?? 0 : 0;
    const count = before + view.slots.missed.length;
    const due = missedNow ? new Date(newest).toISOString() : view.openDetail?.expectedAt ?? null;
    const slot = due === null ? "its slot" : `the slot at ${due.slice(0, 16).replace("T", " ")} UTC`;
    const others = count > 1 ? `, ${count} slots missed in all` : "";
    return {
      code: "missed",
      status: "missed",
      summary: `no run for ${slot} (${describeSchedule(view.schedule)})${others}`,
      detail: {
        expectedAt: due,
        missedSlots: count,
        graceMinutes: view.graceMinutes,
        cause: cause(view, newest ?? null),
        errorMessage: view.lastFinished?.status === "failed" ? view.lastFinished.message : null,
      },
    };
  },
};

/** No slot was decided since, and nothing ran. */
function stillMissed(view: JobView): boolean {
  return view.previous?.verdict === "missed" && view.slots.lastDecided === null && view.newStarts.length === 0;
}

function cause(view: JobView, slot: number | null): string | null {
  if (view.launcherAlive === false) return "pg_cron's launcher is not running on this project";
  if (slot !== null && view.serverStartedAt > slot) {
    return `the server was down; it started at ${new Date(view.serverStartedAt).toISOString()}`;
  }
  return null;
}
