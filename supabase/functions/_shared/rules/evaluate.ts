/** Judges one project: facts and what the hub knew → observations. Pure: no clock, no I/O. */
import type { CronFacts, CronRun } from "../domain/facts.ts";
import type { HubKnowledge, InventoryJob } from "../domain/hub.ts";
import type { Observations, ObservedHttp, ObservedJob, ObservedProject } from "../domain/observation.ts";
import type { ProjectIdentity } from "../domain/project.ts";
import { commandWarnings } from "./command_warnings.ts";
import { type CallsOfJobs, callsOfJobs, isReplaced, nextReading, NOTHING_READ } from "./http_calls.ts";
import { driftTransitions } from "./drift.ts";
import { reconcile, type Reconciliation, shownCronJobs } from "./inventory.ts";
import { closeRemovedJob } from "./job_transitions.ts";
import { type JobReport, type JudgedJob, judgeJob } from "./judge_job.ts";
import { redact } from "./redact.ts";
import { withKnownSettings } from "./known_settings.ts";
import { loggedRun, sortRuns } from "./runs.ts";
import { continuityOf, runsToReread } from "./continuity.ts";
import {
  heldUnder,
  projectConditions,
  projectTransitions,
  projectViewOf,
  unreadableTransitions,
} from "./judge_project.ts";
import { parseSchedule, typicalIntervalMinutes } from "./schedule.ts";

/** What a check makes of a project. */
export interface Evaluation {
  observations: Observations;
  jobs: JobReport[];
}

/**
 * Compares a project's pg_cron jobs with the inventory: all that discovery does.
 *
 * @param newId Makes the id of a job seen for the first time.
 */
export function reconcileCron(
  project: ProjectIdentity,
  facts: CronFacts,
  knowledge: HubKnowledge,
  newId: () => string,
): Reconciliation {
  const shown = shownCronJobs(facts.jobs, (job) => {
    const schedule = parseSchedule(job.schedule, { pgCronVersion: facts.settings.pgCronVersion });
    return {
      command: redact(job.command),
      warnings: commandWarnings(job.command, project, knowledge, facts.now),
      expectedIntervalMinutes: typicalIntervalMinutes(schedule),
    };
  });
  return reconcile(shown, knowledge.jobs, "pg_cron", newId);
}

/**
 * Judges every pg_cron job of a project that could be read.
 *
 * @param now The hub's clock, epoch milliseconds.
 */
export function evaluateProject(
  project: ProjectIdentity,
  read: CronFacts,
  knowledge: HubKnowledge,
  now: number,
  newId: () => string,
): Evaluation {
  const facts = withKnownSettings(read, knowledge);
  const inventory = reconcileCron(project, facts, knowledge, newId);
  const continuity = continuityOf(facts, knowledge);
  const rows = rowsByJob([...continuity.reread, ...facts.runs], inventory.jobs, knowledge.jobs);
  const calls = callsSeen(facts, knowledge, inventory.jobs);
  const around = { ...projectViewOf(facts, knowledge, now, continuity), calls: calls.byJob };
  const judged = inventory.jobs.map((job) => judgeJob(job, rows.get(job.id) ?? [], facts, knowledge, around));
  const conditions = projectConditions(facts, knowledge, judged, around);
  const lastRuns = inventory.removed.flatMap((id) =>
    sortRuns(rows.get(id) ?? [], facts.serverStartedAt).ended.map((run) => loggedRun(id, run))
  );
  return {
    observations: {
      projectName: project.name,
      projectRef: project.ref,
      expectedVersion: knowledge.version,
      project: observedProject(facts, judged, now, knowledge, calls),
      jobs: inventory.jobs,
      removed: inventory.removed,
      changes: inventory.changes,
      runs: [...judged.flatMap(({ runs }) => runs), ...lastRuns],
      states: judged.map(({ state }) => state),
      incidents: [
        ...projectTransitions(project, conditions, knowledge),
        ...judged.flatMap(({ transitions }) => heldUnder(conditions, transitions)),
        ...inventory.removed.flatMap((id) => closeRemovedJob(id, knowledge)),
        ...driftTransitions(inventory, knowledge),
      ],
    },
    jobs: judged.map(({ report }) => report),
  };
}

/** The HTTP calls of a look; of a list that was replaced, none before the next look reads it from its beginning. */
function callsSeen(facts: CronFacts, knowledge: HubKnowledge, jobs: readonly ObservedJob[]): CallsOfJobs {
  const http = facts.http ?? null;
  const replaced = http !== null && isReplaced(http, knowledge.http ?? NOTHING_READ);
  return callsOfJobs(replaced ? [] : http?.calls ?? [], jobs);
}

function observedHttp(
  { http, now }: CronFacts,
  knowledge: HubKnowledge,
  { strangers }: CallsOfJobs,
): ObservedHttp | undefined {
  if (http === undefined || http === null) return undefined;
  return {
    reading: nextReading(http, knowledge.http ?? NOTHING_READ, now),
    queue: http.queue,
    lastHour: http.lastHour,
    callsKept: http.calls !== null,
    strangers,
    errors: http.errors,
  };
}

/** Critical jobs that an alert about a project names. */
const CRITICAL_SHOWN = 12;

/**
 * What a project that could not be read means: an incident of the project, and no word about its jobs' health.
 * Their misses are not judged until it can be read again.
 */
export function evaluateUnreadable(
  project: ProjectIdentity,
  error: { code: string; message: string },
  knowledge: HubKnowledge,
): Evaluation {
  const jobs = knowledge.jobs.filter((job) => job.removedAt === null && job.jobType === "pg_cron");
  const severity = jobs.some((job) => job.criticality === "critical") ? "critical" : "important";
  const summary = error.message;
  // the last verdict stays: a missed job is still missed when the project can be read again
  const states = jobs.flatMap((job) => {
    const state = knowledge.states.get(job.id);
    return state === undefined ? [] : [{ ...state, status: "unknown" as const, summary }];
  });
  return {
    observations: {
      projectName: project.name,
      projectRef: project.ref,
      expectedVersion: knowledge.version,
      project: { status: "error", errorCode: error.code, errorMessage: error.message },
      states,
      incidents: unreadableTransitions(
        project,
        { code: error.code, severity, summary, detail: { facts: unjudged(jobs) } },
        knowledge,
      ),
    },
    jobs: jobs.map((job) => unreadableReport(job, error.code, summary)),
  };
}

/** Whom it concerns that nobody can look: how many jobs, and the critical ones by name. */
function unjudged(jobs: readonly InventoryJob[]): { label: string; value: string }[] {
  const active = jobs.filter((job) => job.active);
  if (active.length === 0) return [];
  const critical = active.filter((job) => job.criticality === "critical").map(({ jobName }) => jobName)
    .sort();
  const more = critical.length > CRITICAL_SHOWN ? ` and ${critical.length - CRITICAL_SHOWN} more` : "";
  const names = critical.length === 0
    ? ""
    : `, critical: ${critical.slice(0, CRITICAL_SHOWN).join(", ")}${more}`;
  return [{ label: "Jobs that nobody can judge", value: `${active.length}${names}` }];
}

function unreadableReport(job: InventoryJob, verdict: string, summary: string): JobReport {
  const { id, jobName, jobUser, schedule, criticality } = job;
  return {
    id,
    jobName,
    jobUser,
    schedule,
    criticality,
    status: "unknown",
    verdict,
    summary,
    lastRunAt: null,
  };
}

function observedProject(
  facts: CronFacts,
  judged: readonly JudgedJob[],
  now: number,
  knowledge: HubKnowledge,
  calls: CallsOfJobs,
): ObservedProject {
  const http = observedHttp(facts, knowledge, calls);
  return {
    status: "ok",
    runCursor: facts.cursor,
    openRuns: runsToReread(judged.flatMap(({ open }) => open ?? []), facts, knowledge),
    settings: { ...facts.settings, launcherAlive: launcherAliveOf(facts, knowledge) },
    clockOffsetMs: facts.now - now,
    ...(http === undefined ? {} : { http }),
  };
}

/** A launcher that was missing counts as missing until it is seen, or a run shows it. */
function launcherAliveOf({ launcherAlive, runs }: CronFacts, knowledge: HubKnowledge): boolean | null {
  return launcherAlive ?? (knowledge.launcherWasMissing && runs.length === 0 ? false : null);
}

/** New rows by inventory id, ascending by run id; rows of jobs that nobody ever saw have none. */
function rowsByJob(
  runs: readonly CronRun[],
  shown: readonly ObservedJob[],
  known: readonly InventoryJob[],
): Map<string, CronRun[]> {
  const ids = new Map<number, string>();
  for (const job of [...known.filter((job) => job.jobType === "pg_cron"), ...shown]) {
    if (job.jobId !== null) ids.set(job.jobId, job.id);
  }
  const rows = new Map<string, CronRun[]>();
  for (const run of runs) {
    const id = ids.get(run.jobId);
    if (id === undefined) continue;
    const known = rows.get(id);
    if (known === undefined) rows.set(id, [run]);
    else known.push(run);
  }
  return rows;
}
