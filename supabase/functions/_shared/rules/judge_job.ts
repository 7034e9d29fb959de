/** Judges one job: its new rows and what was known of it → state, log, and the transitions of its incident. */
import type { CronFacts, CronRun } from "../domain/facts.ts";
import type { HubKnowledge, JobState, OpenIncident } from "../domain/hub.ts";
import type { JobStatus } from "../domain/job.ts";
import type { IncidentTransition, LoggedRun, ObservedJob } from "../domain/observation.ts";
import { lastDue } from "./due_slots.ts";
import { conclude } from "./job_conclusion.ts";
import { jobTransitions } from "./job_transitions.ts";
import { type FullView, type ProjectView, viewOf } from "./job_view.ts";
import { loggedMiss, loggedRun } from "./runs.ts";

/** One job as a check's answer tells it. */
export interface JobReport {
  id: string;
  jobName: string;
  jobUser: string | null;
  schedule: string | null;
  criticality: string | null;
  status: JobStatus;
  verdict: string | null;
  summary: string;
  /** ISO 8601. */
  lastRunAt: string | null;
}

/** What one job's facts come to. */
export interface JudgedJob {
  state: JobState;
  runs: LoggedRun[];
  /** The run in progress, to be read again. */
  open: CronRun | null;
  transitions: IncidentTransition[];
  /** The newest slot that was missed, while nothing has run since; epoch milliseconds. */
  lastDue: number | null;
  report: JobReport;
}

/** Judges a job that the project shows, from its rows after the last look (by run id, ascending). */
export function judgeJob(
  shown: ObservedJob,
  rows: readonly CronRun[],
  facts: CronFacts,
  knowledge: HubKnowledge,
  project: ProjectView,
): JudgedJob {
  const known = project.known.get(shown.id);
  // a job that comes back after it was gone begins anew, with its annotations
  const previous = known?.removedAt === null ? knowledge.states.get(shown.id) ?? null : null;
  const incidents = project.incidents.get(shown.id) ?? [];
  const view = viewOf(shown, known, previous, rows, facts, project);
  return judgeView(view, incidents, knowledge);
}

/** What a job's view comes to, with what becomes of its unresolved incidents. */
export function judgeView(
  view: FullView,
  incidents: readonly OpenIncident[],
  knowledge: HubKnowledge,
): JudgedJob {
  const conclusion = conclude(view);
  const { id, jobName, jobUser, schedule } = view.job;
  const lastRunAt = view.lastRunAt;
  return {
    state: {
      jobInventoryId: id,
      status: conclusion.status,
      verdict: conclusion.code,
      summary: conclusion.summary,
      schedule,
      slotsSince: view.slotsSince,
      judgedUntil: view.slotsSince === null ? null : view.slots.judgedUntil,
      lastRunAt,
      lastSuccessAt: view.lastSuccessAt,
      consecutiveFailures: view.consecutiveFailures,
      recentRuns: view.recentRuns,
      recentCalls: view.calls.recent,
      rowSeen: view.rowSeen,
    },
    runs: [
      ...view.sorted.ended.map((run) => loggedRun(id, run)),
      ...view.slots.missed.map((slot) => loggedMiss(id, slot)),
      ...view.calls.logged,
    ],
    open: view.sorted.open,
    transitions: jobTransitions(view, conclusion, incidents, knowledge),
    lastDue: conclusion.status === "missed" ? lastDue(view) : null,
    report: {
      id,
      jobName,
      jobUser,
      schedule,
      criticality: view.job.criticality,
      status: conclusion.status,
      verdict: conclusion.code,
      summary: conclusion.summary,
      lastRunAt: lastRunAt === null ? null : new Date(lastRunAt).toISOString(),
    },
  };
}
