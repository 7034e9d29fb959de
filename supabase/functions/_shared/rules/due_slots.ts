/** Which slots of a job are judged at a look, and what becomes of each. All instants are epoch milliseconds. */
import type { CronFacts } from "../domain/facts.ts";
import type { JobState, RowSeen } from "../domain/hub.ts";
import type { ObservedJob } from "../domain/observation.ts";
import type { JobView } from "./checks/check.ts";
import type { SortedRuns } from "./runs.ts";
import { previousSlot, type Schedule, slotsBetween } from "./schedule.ts";
import { type Doubt, type Gap, judgeSlots, type RunSpan, type SlotJudgement } from "./slot_judgement.ts";

/** How close to a slot a run must have started to show that today's schedule was already in force. */
const FITTING_START_MS = 60_000;

/** Slots judged for one job at one check: after a longer absence of the monitor only the oldest, the rest next time. */
const SLOTS_LIMIT = 5_000;

/**
 * From when on slots count: as before, while the schedule is the same and the job was not paused. At the project's
 * first look they count from the last run, if that run shows that today's schedule was already in force; otherwise
 * nobody knows since when it is, and they count from now.
 */
export function slotsSince(
  shown: ObservedJob,
  schedule: Schedule,
  previous: JobState | null,
  lastRunAt: number | null,
  facts: CronFacts,
): { slotsSince: number; judgedUntil: number } | null {
  if (schedule.kind !== "cron" && schedule.kind !== "interval") return null;
  if (schedule.kind === "cron" && facts.settings.timeZone === null) return null;
  if (previous !== null && previous.schedule === shown.schedule && previous.slotsSince !== null) {
    return { slotsSince: previous.slotsSince, judgedUntil: previous.judgedUntil ?? previous.slotsSince };
  }
  const firstLook = previous === null && facts.reading !== "next";
  if (firstLook && lastRunAt !== null && fits(schedule, lastRunAt, facts.settings.timeZone)) {
    return { slotsSince: lastRunAt, judgedUntil: lastRunAt };
  }
  return { slotsSince: facts.now, judgedUntil: facts.now };
}

function fits(schedule: Schedule, startedAt: number, timeZone: string | null): boolean {
  if (schedule.kind === "interval") return true;
  if (timeZone === null) return false;
  const own = previousSlot(schedule, startedAt + 1, timeZone);
  return own !== null && startedAt - own <= FITTING_START_MS;
}

/** For as long as this after the look before, an edit may explain a miss. Longer is no quick pause. */
const EDIT_WINDOW_MS = 3_600_000;

/**
 * Since when a job may have been paused or rescheduled and set back, all between two looks: its row was edited since
 * the look before. An edit right after another one is no excuse: there are jobs that are scheduled anew all the time.
 */
export function editedSince(shown: ObservedJob, previous: JobState | null, now: number): number | null {
  const seen = previous?.rowSeen ?? null;
  if (seen === null || shown.rowVersion === undefined || seen.version === shown.rowVersion) return null;
  return now - seen.at <= EDIT_WINDOW_MS ? seen.at : null;
}

/** The row as the next look is to know it. */
export function rowSeen(shown: ObservedJob, previous: JobState | null, now: number): RowSeen | null {
  const { rowVersion } = shown;
  if (rowVersion === undefined) return null;
  const seen = previous?.rowSeen ?? null;
  return seen === null || seen.version === rowVersion ? { version: rowVersion, at: now } : null;
}

/** Runs that slots can be matched with. Those known before count with their time only: without one, they stood for a slot. */
export function runSpans(previous: JobState | null, sorted: SortedRuns, now: number): RunSpan[] {
  const before = (previous?.recentRuns ?? []).filter((run) =>
    run.status !== "running" && run.startedAt !== null
  );
  // one that has not got to its command may never do so
  const open = sorted.open?.startedAt ?? null;
  const spans = [
    ...before.map((run) => ({ startedAt: ms(run.startedAt), endedAt: ms(run.endedAt), open: false })),
    ...sorted.ended.map((run) => ({ startedAt: run.startedAt, endedAt: run.endedAt, open: false })),
    ...(open === null ? [] : [{ startedAt: open, endedAt: null, open: true }]),
  ];
  // started in the future: the clock was wrong then
  return spans.filter(({ startedAt }) => (startedAt ?? 0) <= now);
}

/** Judges what was due after an instant by the runs that can matter to it. */
export function judgeDue(
  schedule: Schedule,
  judgedUntil: number,
  runs: readonly RunSpan[],
  graceMs: number,
  facts: CronFacts,
  { gaps, edited }: Doubt,
): SlotJudgement {
  if (schedule.kind === "interval") {
    const doubtful = edited === null ? gaps : [...gaps, { from: edited, until: facts.knownUntil }];
    return judgeInterval(schedule.seconds, judgedUntil, runs, graceMs, facts, doubtful);
  }
  const { timeZone } = facts.settings;
  if (timeZone === null) return { missed: [], lastDecided: null, judgedUntil };
  const due = slotsBetween(schedule, {
    after: judgedUntil,
    until: facts.knownUntil,
    timeZone,
    limit: SLOTS_LIMIT,
  });
  // only what was enumerated can be judged: the rest is left for the next check
  const until = due.cut ? due.slots.at(-1) ?? facts.knownUntil : facts.knownUntil;
  return judgeSlots(due.slots, runs, graceMs, until, { gaps, edited });
}

/**
 * `N seconds` counts from the last start and has no slots: it is missed where nothing starts for N and the grace. A
 * run that takes longer is followed at once. In a gap it may have started until its end.
 */
function judgeInterval(
  seconds: number,
  judgedUntil: number,
  runs: readonly RunSpan[],
  graceMs: number,
  facts: CronFacts,
  gaps: readonly Gap[],
): SlotJudgement {
  const judgement: SlotJudgement = { missed: [], lastDecided: null, judgedUntil };
  const stepMs = seconds * 1000;
  let due = judgedUntil + stepMs;
  const passGaps = (before: number) => {
    for (const { from, until } of gaps) {
      if (from > before || from > due + graceMs || until < due - stepMs) continue;
      due = Math.max(due, Math.min(until, before) + stepMs);
      judgement.judgedUntil = Math.max(judgement.judgedUntil, Math.min(until, before));
    }
  };
  let running = false;
  for (const { startedAt, endedAt, open } of runs) {
    // a failure without a start came at some time unknown: nobody can say that nothing was tried
    if (startedAt === null) return { missed: [], lastDecided: null, judgedUntil: facts.knownUntil };
    const until = open ? facts.knownUntil : endedAt ?? startedAt;
    if (until < judgedUntil) continue;
    passGaps(startedAt);
    if (startedAt - due > graceMs) judgement.missed.push(due);
    if (startedAt > judgedUntil) judgement.lastDecided = Math.max(judgement.lastDecided ?? 0, startedAt);
    judgement.judgedUntil = Math.max(judgement.judgedUntil, startedAt);
    due = Math.max(due, startedAt + stepMs, until);
    running ||= open;
  }
  passGaps(facts.knownUntil);
  if (running || facts.knownUntil - due <= graceMs) return judgement;
  return { missed: [...judgement.missed, due], lastDecided: due, judgedUntil: facts.knownUntil };
}

/** The newest slot that was missed, also where it was so at an earlier look; `null` if none is known since slots count. */
export function lastDue(view: JobView & { slotsSince: number | null }): number | null {
  const newest = view.slots.missed.at(-1);
  if (newest !== undefined) return newest;
  const since = view.slotsSince ?? Infinity;
  if (view.schedule.kind === "interval") {
    const due = Math.max(view.lastRunAt ?? 0, since) + view.schedule.seconds * 1000;
    return due <= view.now ? due : null;
  }
  if (view.settings.timeZone === null) return null;
  const slot = previousSlot(view.schedule, view.slots.judgedUntil + 1, view.settings.timeZone);
  return slot !== null && slot > since ? slot : null;
}

function ms(instant: string | null): number | null {
  return instant === null ? null : Date.parse(instant);
}
