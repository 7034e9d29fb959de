/** Builders of facts and knowledge for tests of the rules: every test names only what it is about. */
import type { CronFacts, CronJob, CronRun } from "../../supabase/functions/_shared/domain/facts.ts";
import type { HubKnowledge, InventoryJob, JobState } from "../../supabase/functions/_shared/domain/hub.ts";
import { UNANNOTATED } from "../../supabase/functions/_shared/domain/job.ts";
import { alertRow } from "./alerts.ts";
import type { Evaluation } from "../../supabase/functions/_shared/rules/evaluate.ts";

/** Noon of an ordinary day. */
export const NOON = Date.parse("2026-11-21T12:00:00Z");
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;

/** An instant of that day: `at("11:30")`. */
export function at(time: string): number {
  return Date.parse(`2026-11-21T${time.length === 5 ? `${time}:00` : time}Z`);
}

export function cronJob(over: Partial<CronJob> = {}): CronJob {
  return {
    jobId: 1,
    jobName: "sync_leads",
    userName: "postgres",
    schedule: "0 * * * *",
    command: "select 1",
    database: "postgres",
    active: true,
    rowVersion: "700",
    ...over,
  };
}

let nextRunId = 1;

/** A run that succeeded in one second, unless said otherwise. */
export function run(startedAt: number, over: Partial<CronRun> = {}): CronRun {
  return {
    runId: nextRunId++,
    jobId: 1,
    status: "succeeded",
    message: "1 row",
    startedAt,
    endedAt: startedAt + 1_000,
    pid: null,
    ...over,
  };
}

export function facts(over: Partial<CronFacts> = {}): CronFacts {
  const now = over.now ?? NOON + 5 * MINUTE;
  return {
    now,
    serverStartedAt: NOON - 30 * 24 * HOUR,
    settings: { timeZone: "GMT", logRun: true, maxRunningJobs: 32, pgCronVersion: "1.6", access: "readable" },
    launcherAlive: true,
    jobs: [cronJob()],
    runs: [],
    reread: [],
    sessions: [],
    successChecks: [],
    cursor: null,
    reading: "next",
    knownUntil: now,
    ...over,
  };
}

export function knowledge(over: Partial<HubKnowledge> = {}): HubKnowledge {
  return {
    projectName: "smoothed",
    version: 0,
    runCursor: null,
    launcherWasMissing: false,
    timeZone: null,
    alertOnDrift: false,
    openRuns: [],
    jobs: [],
    states: new Map(),
    incidents: [],
    alertConfigs: [alertRow("config-1")],
    ...over,
  };
}

export function inventoryJob(over: Partial<InventoryJob> = {}): InventoryJob {
  return {
    id: "job-1",
    jobType: "pg_cron",
    jobName: "sync_leads",
    jobUser: "postgres",
    jobId: 1,
    schedule: "0 * * * *",
    command: "select 1",
    active: true,
    firstSeenAt: NOON - 24 * HOUR,
    removedAt: null,
    ...UNANNOTATED,
    ...over,
  };
}

/** What the hub knows after it recorded an evaluation: the next check's starting point. */
export function afterwards(before: HubKnowledge, evaluation: Evaluation, now = NOON): HubKnowledge {
  const seen = evaluation.observations;
  const jobs = new Map(before.jobs.map((job) => [job.id, job]));
  for (const job of seen.jobs ?? []) {
    jobs.set(job.id, { ...inventoryJob({ firstSeenAt: now }), ...jobs.get(job.id), ...job, removedAt: null });
  }
  for (const id of seen.removed ?? []) {
    const job = jobs.get(id);
    if (job !== undefined) jobs.set(id, { ...job, removedAt: now });
  }
  const states = new Map<string, JobState>(before.states);
  for (const state of seen.states ?? []) states.set(state.jobInventoryId, state);
  const project = seen.project?.status === "ok" ? seen.project : null;
  return {
    ...before,
    version: before.version + 1,
    runCursor: project?.runCursor ?? before.runCursor,
    timeZone: project === null ? before.timeZone : textOf(project.settings.timeZone),
    launcherWasMissing: project === null
      ? before.launcherWasMissing
      : project.settings.launcherAlive === false,
    openRuns: project?.openRuns ?? before.openRuns,
    ...(project?.http === undefined ? {} : { http: project.http.reading }),
    jobs: [...jobs.values()],
    states,
    incidents: incidentsAfter(before, evaluation, now),
  };
}

function textOf(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function incidentsAfter(
  before: HubKnowledge,
  evaluation: Evaluation,
  now: number,
): HubKnowledge["incidents"] {
  let incidents = [...before.incidents];
  for (const transition of evaluation.observations.incidents ?? []) {
    if (transition.action === "resolve") incidents = incidents.filter(({ id }) => id !== transition.id);
    if (transition.action === "update") {
      incidents = incidents.map((one) => one.id === transition.id ? { ...one, ...transition } : one);
    }
    if (transition.action === "open" && transition.resolution === undefined) {
      const { subjectKind, subjectId, code, severity, summary, detail } = transition;
      incidents.push({
        id: `incident-${incidents.length + 1}`,
        subjectKind,
        subjectId,
        code,
        severity,
        summary,
        detail,
        openedAt: now,
      });
    }
  }
  return incidents;
}
