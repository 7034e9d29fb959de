/**
 * Whether the history of runs goes on where the last look ended: rows are purged, tables emptied, backups restored.
 * The newest run of each look is read again at the next one; what became of it tells.
 */
import type { CronFacts, CronRun } from "../domain/facts.ts";
import type { HubKnowledge, OpenRun } from "../domain/hub.ts";
import type { Gap } from "./slot_judgement.ts";

/** What a look's runs are worth. */
export interface Continuity {
  /**
   * Runs that started before may be gone, or were due by another time zone: slots up to here cannot be judged.
   * Epoch milliseconds; `-Infinity`: all is known.
   */
  knownFrom: number;
  /** Since then, ascending: where rows are missing between others. */
  gaps: readonly Gap[];
  /** The runs read again that may have news: without those that had ended when they were last read. */
  reread: CronRun[];
}

/** After a crash a sequence goes on behind the numbers that it had fetched ahead. */
const SKIPPED_BY_CRASH = 33;
/** And the next run comes soon after: where none is left for longer, rows were deleted. */
const SOON_MS = 3_600_000;

/** Compares the newest run of the last look with what is there now. */
export function continuityOf(facts: CronFacts, knowledge: HubKnowledge): Continuity {
  const { knownFrom, reread } = historyOf(facts, knowledge);
  const { timeZone } = facts.settings;
  // only a start of the server changes it, and nobody knows which of the starts since did
  const moved = knowledge.timeZone !== null && timeZone !== null && knowledge.timeZone !== timeZone;
  return {
    knownFrom: moved ? Math.max(knownFrom, facts.serverStartedAt) : knownFrom,
    gaps: facts.reading === "next" ? gapsOf(facts, knowledge.runCursor) : [],
    reread,
  };
}

/**
 * pg_cron numbers its runs one by one, so a number that is missing since the last look was a run whose row is gone:
 * people delete successes, or all but the last run of each job. A crash skips numbers, too.
 */
function gapsOf({ reread, runs, serverStartedAt, knownUntil }: CronFacts, cursor: number | null): Gap[] {
  const anchor = reread.filter(({ runId }) => runId === cursor);
  const gaps: Gap[] = [];
  let before: CronRun | undefined;
  let from = -Infinity;
  let missing = 0;
  const close = (until: number) => {
    const skipped = missing <= SKIPPED_BY_CRASH && from <= serverStartedAt && serverStartedAt <= until &&
      until - serverStartedAt <= SOON_MS;
    const last = gaps.at(-1);
    // a clock that was set back shows times again
    if (missing > 0 && !skipped) {
      const gap = { from: Math.min(from, until), until: Math.max(from, until) };
      if (last !== undefined && gap.from <= last.until) last.until = Math.max(last.until, gap.until);
      else gaps.push(gap);
    }
    missing = 0;
  };
  for (const run of [...anchor, ...runs]) {
    if (before !== undefined) missing += run.runId - before.runId - 1;
    before = run;
    if (run.startedAt === null) continue;
    close(run.startedAt);
    from = run.startedAt;
  }
  close(knownUntil);
  return gaps;
}

function historyOf(facts: CronFacts, knowledge: HubKnowledge): Omit<Continuity, "gaps"> {
  const known = knownRuns(knowledge);
  // one that no job remembers is an old row that became the newest when others were deleted
  const reread = facts.reread.filter((run) => known.get(run.runId)?.ended === false || isAnother(run, known));
  if (facts.reading === "restored") return { knownFrom: facts.now, reread };
  const { runCursor } = knowledge;
  if (runCursor === null || !knowledge.openRuns.some(({ runId }) => runId === runCursor)) {
    return { knownFrom: -Infinity, reread };
  }
  const anchor = facts.reread.find(({ runId }) => runId === runCursor);
  if (anchor === undefined) {
    const oldest = facts.runs.find((run) => run.startedAt !== null)?.startedAt;
    return { knownFrom: oldest ?? facts.knownUntil, reread };
  }
  // its number is taken by another run: the history was replaced, and has outgrown the cursor since
  return { knownFrom: isAnother(anchor, known) ? facts.knownUntil : -Infinity, reread };
}

/** Runs to be read again at the next look: those in progress, and the newest. */
export function runsToReread(open: readonly CronRun[], facts: CronFacts, knowledge: HubKnowledge): OpenRun[] {
  const firstSeen = new Map(knowledge.openRuns.map((run) => [run.runId, run.firstSeenAt]));
  const runIds = new Set(open.map(({ runId }) => runId));
  if (facts.cursor !== null) runIds.add(facts.cursor);
  return [...runIds].map((runId) => ({ runId, firstSeenAt: firstSeen.get(runId) ?? facts.now }));
}

interface KnownRun {
  jobId: number | null;
  startedAt: number | null;
  ended: boolean;
}

/** The runs that are read again, as the last look saw them. */
function knownRuns(knowledge: HubKnowledge): Map<number, KnownRun> {
  const reread = new Set(knowledge.openRuns.map(({ runId }) => runId));
  const known = new Map<number, KnownRun>();
  for (const { id, jobId } of knowledge.jobs) {
    for (const { runId, status, startedAt } of knowledge.states.get(id)?.recentRuns ?? []) {
      if (runId === null || !reread.has(runId)) continue;
      const start = startedAt === null ? null : Date.parse(startedAt);
      known.set(runId, { jobId, startedAt: start, ended: status !== "running" });
    }
  }
  return known;
}

/** Whether a number stands for another run than before. A start that was not known, or could not be right, is no difference. */
function isAnother(run: CronRun, known: ReadonlyMap<number, KnownRun>): boolean {
  const before = known.get(run.runId);
  if (before === undefined) return false;
  if (before.jobId !== run.jobId) return true;
  return before.startedAt !== null && before.startedAt !== run.startedAt;
}
