/** One look at a simulated project: what `readCronFacts` would bring back from its tables. */
import type { CronFacts, CronRun } from "../../supabase/functions/_shared/domain/facts.ts";
import type { HubKnowledge } from "../../supabase/functions/_shared/domain/hub.ts";
import { clockOf, type RunRow, SECOND, type World } from "./world.ts";

/** Bounds of a look, as `ReadLimits` has them. */
export interface LookLimits {
  firstRuns: number;
  lookBackRuns: number;
  pageRuns: number;
  pages: number;
}

/** Why a project cannot be read. */
export const UNREACHABLE = { code: "unreachable", message: 'Cannot connect to project "simulated"' };

/** Facts, or `null` while nobody can connect. */
export function lookAt(world: World, knowledge: HubKnowledge, limits: LookLimits): CronFacts | null {
  if (!world.serverUp || world.cutOff) return null;
  const { rows } = world;
  const cursor = knowledge.runCursor;
  const maxRunId = rows.at(-1)?.runId ?? null;
  const restored = cursor !== null && (maxRunId === null || maxRunId < cursor);
  const all = cursor === null || restored;
  const open = new Set(knowledge.openRuns.map((run) => run.runId));
  const runs = all ? newestRuns(rows, limits) : rowsAfter(rows, cursor, limits.pageRuns * limits.pages);
  const complete = all || runs.length < limits.pageRuns * limits.pages;
  const reread = restored ? [] : rows.filter((row) => open.has(row.runId));
  const now = Math.round(clockOf(world));
  return {
    now,
    serverStartedAt: Math.round(world.serverStartedAt),
    settings: settingsShown(world),
    launcherAlive: launcherSeen(world),
    jobs: [...world.jobs.values()].map(({ jobId, jobName, schedule, command, active, edits }) => ({
      jobId,
      jobName,
      userName: "postgres",
      schedule,
      command,
      database: "postgres",
      active,
      rowVersion: String(edits),
    })),
    runs: runs.map(shown),
    reread: reread.map(shown),
    sessions: null,
    successChecks: successChecks(world, knowledge, [...runs, ...reread]),
    cursor: complete ? maxRunId : runs.at(-1)?.runId ?? null,
    reading: cursor === null ? "first" : restored ? "restored" : "next",
    knownUntil: complete
      ? now
      : runs.reduce((latest, run) => Math.max(latest, rounded(run.startedAt) ?? 0), 0),
  };
}

/** Without the library its settings are not there either. */
function settingsShown({ settings, settingsVisible, launcher }: World): CronFacts["settings"] {
  const { timeZone, logRun, maxRunningJobs, pgCronVersion } = settings;
  const access = !settingsVisible
    ? "no_privilege"
    : launcher.broken === "not loaded"
    ? "not_loaded"
    : "readable";
  return access !== "readable"
    ? { timeZone: null, logRun: null, maxRunningJobs: null, pgCronVersion, access }
    : { timeZone, logRun, maxRunningJobs, pgCronVersion, access };
}

function launcherSeen(world: World): boolean | null {
  if (!world.statsVisible) return null;
  const { launcher, agenda } = world;
  const settled = (since: number) => agenda.now - since > 5 * SECOND;
  // one that dies each second is there for a moment, and always young
  if (launcher.broken === "crash loop" && world.random.chance(0.03)) return null;
  if (launcher.visible) return settled(launcher.startedAt) ? true : null;
  return settled(world.serverUpSince) ? false : null;
}

function newestRuns(rows: readonly RunRow[], limits: LookLimits): RunRow[] {
  const newest = rows.slice(-limits.firstRuns);
  const floor = newest[0]?.runId ?? 0;
  const met = new Set(newest.map((row) => row.jobId));
  const older = new Map<number, RunRow>();
  for (let index = rows.length - newest.length - 1; index >= 0; index--) {
    const row = rows[index];
    if (row === undefined || row.runId < floor - limits.lookBackRuns) break;
    if (!met.has(row.jobId) && !older.has(row.jobId)) older.set(row.jobId, row);
  }
  return [...[...older.values()].reverse(), ...newest];
}

function rowsAfter(rows: readonly RunRow[], cursor: number, limit: number): RunRow[] {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle]?.runId ?? 0) <= cursor) low = middle + 1;
    else high = middle;
  }
  return rows.slice(low, low + limit);
}

/** Times come in whole milliseconds. */
function shown({ runId, jobId, status, message, startedAt, endedAt, pid }: RunRow): CronRun {
  return { runId, jobId, status, message, startedAt: rounded(startedAt), endedAt: rounded(endedAt), pid };
}

function rounded(instant: number | null): number | null {
  return instant === null ? null : Math.round(instant);
}

/** Asked after a new success, and again while it does not hold. */
function successChecks(
  world: World,
  knowledge: HubKnowledge,
  rows: readonly RunRow[],
): CronFacts["successChecks"] {
  return knowledge.jobs.flatMap(({ id, jobId, jobName, successCheckSql, removedAt }) => {
    if (jobId === null || successCheckSql === null || removedAt !== null) return [];
    const unmet = knowledge.states.get(id)?.verdict === "criteria_not_met" ||
      knowledge.incidents.some(({ code, subjectId }) => code === "criteria_not_met" && subjectId === id);
    if (!unmet && !rows.some((row) => row.jobId === jobId && row.status === "succeeded")) return [];
    return [{ jobId, held: !(world.truths.get(jobName)?.lastUnmet ?? false), error: null }];
  });
}
