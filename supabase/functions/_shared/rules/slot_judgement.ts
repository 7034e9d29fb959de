/** Matches runs to the slots at which they were due: pg_cron writes a row only for a run that starts. */

/** A run as far as slots care. Instants are epoch milliseconds. */
export interface RunSpan {
  /** `null`: it began, but pg_cron did not note when. */
  startedAt: number | null;
  /** `null`: it has not ended, or a restart cut it off. */
  endedAt: number | null;
  /** Still in progress when it was read. */
  open: boolean;
}

/** What became of the slots that were due. */
export interface SlotJudgement {
  /** Slots past their grace without a run, ascending. */
  missed: number[];
  /** The newest slot that is decided, however it went; `null` if none is. */
  lastDecided: number | null;
  /** Slots up to here are decided, each once. */
  judgedUntil: number;
}

/** Clocks are adjusted: a run may seem to start a little before its slot. */
const CLOCK_TOLERANCE_MS = 5_000;

/**
 * Judges slots. A run belongs to the newest slot at or before its start; one that finds that slot taken
 * (it queued behind a long run) belongs to the oldest free slot within grace. A slot that came while a
 * run was in progress is not missed: pg_cron queues it. A run without a start time stands for one slot.
 *
 * @param slots Due times after the last judgement, ascending, up to `knownUntil`.
 * @param runs Every run that can matter to them, by start.
 * @param graceMs How late a run may start before its slot is missed.
 * @param knownUntil Runs that started up to here are all known; slots beyond are not judged.
 */
export function judgeSlots(
  slots: readonly number[],
  runs: readonly RunSpan[],
  graceMs: number,
  knownUntil: number,
): SlotJudgement {
  const taken = new Set<number>();
  let floating = 0;
  const late: number[] = [];
  for (const run of runs) {
    if (run.startedAt === null) floating++;
    else {
      const own = lastAtOrBefore(slots, run.startedAt + CLOCK_TOLERANCE_MS);
      if (own === null) continue;
      if (taken.has(own)) late.push(run.startedAt);
      else taken.add(own);
    }
  }
  for (const start of late) {
    const free = slots.find((slot) => slot >= start - graceMs && slot <= start && !taken.has(slot));
    if (free !== undefined) taken.add(free);
  }

  const judgement: SlotJudgement = { missed: [], lastDecided: null, judgedUntil: knownUntil };
  for (const slot of slots) {
    const met = taken.has(slot) || inProgress(runs, slot);
    if (!met && floating === 0 && knownUntil <= slot + graceMs) {
      judgement.judgedUntil = slot - 1;
      break;
    }
    if (!met && floating > 0) floating--;
    else if (!met) judgement.missed.push(slot);
    judgement.lastDecided = slot;
  }
  return judgement;
}

function lastAtOrBefore(slots: readonly number[], instant: number): number | null {
  let low = 0;
  let high = slots.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((slots[middle] ?? Infinity) <= instant) low = middle + 1;
    else high = middle;
  }
  return slots[low - 1] ?? null;
}

function inProgress(runs: readonly RunSpan[], slot: number): boolean {
  return runs.some((run) =>
    run.startedAt !== null && run.startedAt <= slot &&
    (run.open || (run.endedAt !== null && run.endedAt >= slot))
  );
}
