/** Missed: a slot is past its grace without a run. Nothing has run since, or it has and the gap is told once. */
import { describeSchedule } from "../schedule.ts";
import { formatUtc } from "../text.ts";
import type { IncidentDetail } from "../../domain/incident.ts";
import type { Check, JobView, Verdict } from "./check.ts";

export const missed: Check = {
  code: "missed",
  evaluate(view) {
    const newest = view.slots.missed.at(-1);
    if (newest !== undefined && newest === view.slots.lastDecided && !hasRunSince(view, newest)) {
      return stillGone(view, newest);
    }
    if (goesOn(view)) return stillGone(view, null);
    return newest === undefined ? null : cameBack(view, newest);
  },
};

/** A run that came after a missed slot met another one, be it one that is not decided yet; what is to come is a wrong clock's. */
function hasRunSince({ lastRunAt, now }: JobView, slot: number): boolean {
  return lastRunAt !== null && lastRunAt > slot && lastRunAt < now;
}

/** The newest slot that is decided was missed, and nothing ran since. */
function stillGone(view: JobView, newest: number | null): Verdict {
  const told = toldMiss(view);
  const count = (told?.missedSlots ?? 0) + view.slots.missed.length;
  const due = newest === null ? told?.expectedAt ?? null : new Date(newest).toISOString();
  const slot = due === null ? "its slot" : `the slot at ${formatUtc(new Date(due))}`;
  const others = count > 1 ? `, ${count} slots missed in all` : "";
  return {
    code: "missed",
    gravity: "outage",
    status: "missed",
    told: newest === null,
    // one that was held under an incident of the project has none of its own that could say which slot
    summary: due === null && view.previous?.status === "missed" && view.previous.summary !== null
      ? view.previous.summary
      : `no run for ${slot} (${describeSchedule(view.schedule)})${others}`,
    detail: {
      expectedAt: due,
      missedSlots: count,
      graceMinutes: view.graceMinutes,
      cause: causeOfMiss(view, newest),
      errorMessage: view.lastFinished?.status === "failed" ? view.lastFinished.message : null,
    },
  };
}

/** Slots were missed since the last check, and the job has run again: told once, at the lowest severity. */
function cameBack(view: JobView, newest: number): Verdict {
  const first = view.slots.missed[0] ?? newest;
  const count = view.slots.missed.length;
  const which = count === 1
    ? `no run for the slot at ${formatUtc(new Date(newest))}`
    : `no run for ${count} slots from ${formatUtc(new Date(first))} to ${formatUtc(new Date(newest))}`;
  const cause = causeOfMiss(view, newest);
  return {
    code: "missed",
    gravity: "over",
    // a restart of the server is nobody's fault and over; it is kept and reported, not sent
    ...(isRestart(view, first, newest) ? { severity: "info" as const } : {}),
    summary: `${which}; it has run again since`,
    detail: {
      expectedAt: new Date(newest).toISOString(),
      missedSlots: count,
      graceMinutes: view.graceMinutes,
      cause,
    },
  };
}

/**
 * No slot was decided since, and nothing ran. Also after looks at which nobody could say: an incident that is still
 * open then tells of a miss.
 */
function goesOn(view: JobView): boolean {
  const { previous, slots, lastRunAt } = view;
  if (previous === null || previous.schedule !== view.job.schedule) return false;
  if (slots.lastDecided !== null || view.newStarts.length > 0) return false;
  if (previous.verdict === "missed") return true;
  const due = toldMiss(view)?.expectedAt ?? null;
  return due !== null && (lastRunAt === null || lastRunAt < Date.parse(due));
}

/** What the open incident says of a miss, if that is what it tells now. */
function toldMiss(view: JobView): IncidentDetail | null {
  const detail = view.openOutage?.detail ?? null;
  return detail?.missedSlots ? detail : null;
}

function isRestart(view: JobView, first: number, newest: number): boolean {
  return fellIntoRestart(view, first) && fellIntoRestart(view, newest);
}

/** A run is noted a moment after its slot. */
const MOMENT_MS = 5_000;

/** Whether the server may have been down at a slot: nothing shows that any job was run between it and the last start. */
export function fellIntoRestart(
  { serverStartedAt, serverDownFrom }: Pick<JobView, "serverStartedAt" | "serverDownFrom">,
  slot: number,
): boolean {
  return serverDownFrom <= slot + MOMENT_MS && slot < serverStartedAt;
}

/** Why a slot was missed, where the facts show it. */
export function causeOfMiss(view: JobView, slot: number | null): string | null {
  if (view.launcherAlive === false) return "pg_cron's launcher is not running on this project";
  if (slot !== null && fellIntoRestart(view, slot)) {
    return `the server started only after it, at ${formatUtc(new Date(view.serverStartedAt))}`;
  }
  if (view.saturated) return `all ${view.settings.maxRunningJobs} places of cron.max_running_jobs are taken`;
  return null;
}
