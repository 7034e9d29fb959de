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

/** A stretch in which runs may have started whose rows are gone. Epoch milliseconds, both inclusive. */
export interface Gap {
  from: number;
  until: number;
}

/** What keeps a slot without a run from being missed. */
export interface Doubt {
  /** What a run may have started in for all anybody knows: such a slot is passed over. */
  gaps: readonly Gap[];
  /** Since when the job may not have been due; `null`: it was. What is past its grace since then is passed over. */
  edited: number | null;
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

/** pg_cron starts what is due within a second or two, and gives up a start after ten. */
const PROMPT_MS = 15_000;

/**
 * Judges slots. A run belongs to the newest slot at or before its start; one that finds that slot taken, or comes late
 * for it (it queued behind a long run, for a place, or for a stalled launcher), makes one more slot met: the newest free one that can be, if
 * each run may stand for any slot within grace before it. A slot that came while a
 * run was in progress is not missed: pg_cron queues it. A run without a start time stands for one slot.
 *
 * @param slots Due times after the last judgement, ascending, up to `knownUntil`.
 * @param runs Every run that can matter to them, by start.
 * @param graceMs How late a run may start before its slot is missed.
 * @param knownUntil Runs that started up to here are all known, but for the gaps; slots beyond are not judged.
 */
export function judgeSlots(
  slots: readonly number[],
  runs: readonly RunSpan[],
  graceMs: number,
  knownUntil: number,
  { gaps, edited }: Doubt = { gaps: [], edited: null },
): SlotJudgement {
  const taken = new Set<number>();
  const undated: { from: number; until: number }[] = [];
  let lastStart = -Infinity;
  const inTime: number[] = [];
  const metLate = new Set<number>();
  let queued = 0;
  for (const run of runs) {
    if (run.startedAt === null) undated.push({ from: lastStart, until: Infinity });
    else {
      for (const one of undated) one.until = Math.min(one.until, run.startedAt);
      lastStart = run.startedAt;
      const own = lastAtOrBefore(slots, run.startedAt) ??
        lastAtOrBefore(slots, run.startedAt + CLOCK_TOLERANCE_MS);
      if (own === null) continue;
      const late = run.startedAt - own;
      // it waited for something: for all anybody knows since a slot before, whose grace has passed meanwhile
      const waited = late > PROMPT_MS && late <= graceMs && knownUntil <= own + graceMs;
      const free = !taken.has(own);
      if (!waited) taken.add(own);
      if (!free || waited) queued++;
      // a run later than grace is good for its own slot only
      if (late <= graceMs) inTime.push(run.startedAt);
      else if (free) metLate.add(own);
    }
  }
  if (queued > 0) {
    const open = slots.filter((slot) => !metLate.has(slot));
    fillFromQueue(open, taken, inTime.sort((a, b) => a - b), graceMs, { queued, knownUntil });
  }

  const judgement: SlotJudgement = { missed: [], lastDecided: null, judgedUntil: knownUntil };
  for (const slot of slots) {
    const met = taken.has(slot) || inProgress(runs, slot) || takeUndated(undated, slot);
    if (!met && gaps.some(({ from, until }) => slot <= until && slot + graceMs >= from)) continue;
    if (!met && knownUntil <= slot + graceMs) {
      judgement.judgedUntil = slot - 1;
      break;
    }
    if (!met && edited !== null && slot > edited) continue;
    if (!met) judgement.missed.push(slot);
    judgement.lastDecided = slot;
  }
  return judgement;
}

/** Takes the first run without a start that came between two others as the slot does. */
function takeUndated(undated: { from: number; until: number }[], slot: number): boolean {
  const found = undated.findIndex(({ from, until }) => from <= slot && slot <= until);
  if (found >= 0) undated.splice(found, 1);
  return found >= 0;
}

/**
 * Takes the newest free slots that the runs can be matched with as well, without freeing one that is taken. Those still
 * within grace come last: they may get a run of their own.
 */
function fillFromQueue(
  slots: readonly number[],
  taken: Set<number>,
  starts: readonly number[],
  graceMs: number,
  { queued, knownUntil }: { queued: number; knownUntil: number },
): void {
  const due = (slot: number) => slot + graceMs < knownUntil;
  let left = queued;
  for (const slot of [...slots.filter(due).toReversed(), ...slots.filter((slot) => !due(slot))]) {
    if (left === 0) return;
    if (taken.has(slot)) continue;
    if (!canMatch(slots.filter((one) => one === slot || taken.has(one)), starts, graceMs)) continue;
    taken.add(slot);
    left--;
  }
}

/** Whether each slot can have a run of its own that started within grace; both ascending. */
function canMatch(slots: readonly number[], starts: readonly number[], graceMs: number): boolean {
  let next = 0;
  return slots.every((slot) => {
    while ((starts[next] ?? Infinity) < slot - CLOCK_TOLERANCE_MS) next++;
    return (starts[next++] ?? Infinity) <= slot + graceMs;
  });
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
