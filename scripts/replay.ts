/**
 * What the rules would have told over a history that exists, so that a person can choose thresholds from evidence: the
 * same evaluation as a check's, at every quarter of an hour, with facts cut at that instant. No rule is here.
 */
import type { CronFacts, CronRun } from "../supabase/functions/_shared/domain/facts.ts";
import type { HubKnowledge, InventoryJob, OpenIncident } from "../supabase/functions/_shared/domain/hub.ts";
import type { IncidentTransition } from "../supabase/functions/_shared/domain/observation.ts";
import { evaluateProject, type Evaluation } from "../supabase/functions/_shared/rules/evaluate.ts";
import { graceMinutes } from "../supabase/functions/_shared/rules/grace.ts";
import { parseSchedule, typicalIntervalMinutes } from "../supabase/functions/_shared/rules/schedule.ts";
import { type History, type HistoryJob, type HistoryPlace, readHistory } from "./replay_history.ts";

export type { HistoryPlace } from "./replay_history.ts";

/** Checks run at every quarter of an hour. */
const STEP_MS = 15 * 60_000;
const DAY_MS = 24 * 60 * 60_000;

/** What to replay, and with which thresholds. */
export interface ReplayOptions extends HistoryPlace, Thresholds {
  /** Days to go back; more than 0. */
  days: number;
}

/** Thresholds for every job in place of its annotations and of what the rules derive. */
export interface Thresholds {
  graceMinutes?: number;
  failureThreshold?: number;
}

/** What would have been told. Names are those of the tables; instants are ISO 8601. */
export interface Replay {
  project: string;
  source: History["source"];
  since: string;
  until: string;
  /** Whether the history is shorter than was asked for, or too long to be replayed whole. */
  shortened: boolean;
  checks: number;
  /** Incidents of the project as a whole, oldest first. */
  incidents: ReplayedIncident[];
  /** By name. */
  jobs: ReplayedJob[];
}

/** A project whose history could not be read. */
export interface FailedReplay {
  project: string;
  error: { code: string; message: string };
}

/** One job of a replay. */
export interface ReplayedJob {
  job_name: string;
  job_user: string;
  schedule: string;
  active: boolean;
  /** From when on it was judged; `null`: its history does not show that it existed. */
  since: string | null;
  grace_minutes: number;
  failure_threshold: number;
  /** Runs that began, and those of them that failed. */
  runs: number;
  failed: number;
  missed_slots: number;
  /** Incidents that would have been told: all but those of severity `info`. */
  alerts: number;
  /** Oldest first. */
  incidents: ReplayedIncident[];
}

/** An incident that would have been opened. */
export interface ReplayedIncident {
  code: string;
  severity: string;
  /** As it was opened. */
  summary: string;
  opened_at: string;
  /** `null`: it still holds. */
  resolved_at: string | null;
  resolution: string | null;
}

/**
 * Reads a project's history and replays it.
 *
 * @throws {AppError} why the project or the hub could not be read; `not_found` where the hub has no log of it.
 */
export async function replay(
  { days, graceMinutes, failureThreshold, ...place }: ReplayOptions,
): Promise<Replay> {
  const history = await readHistory(place, days * DAY_MS);
  return replayHistory(history, {
    ...(graceMinutes === undefined ? {} : { graceMinutes }),
    ...(failureThreshold === undefined ? {} : { failureThreshold }),
  });
}

/** Replays a history: pure. */
export function replayHistory(history: History, thresholds: Thresholds = {}): Replay {
  const jobs = history.jobs.map((job) => ({ ...job, row: withThresholds(job.row, thresholds) }));
  const recorder = recordIncidents();
  const missed = new Map<string, number>();
  let knowledge = knowledgeAtStart(history, jobs);
  let read = 0;
  let checks = 0;
  for (const now of instantsOf(history)) {
    const from = read;
    while ((history.runs[read]?.seenFrom ?? Infinity) <= now) read++;
    const evaluation = evaluateProject(
      { name: history.project, ref: null },
      factsAt(now, history, jobs, from, read, knowledge),
      knowledge,
      now,
      () => crypto.randomUUID(),
    );
    knowledge = knowledgeAfter(knowledge, evaluation, now, recorder);
    for (const run of evaluation.observations.runs ?? []) {
      if (run.status !== "missed") continue;
      missed.set(run.jobInventoryId, (missed.get(run.jobInventoryId) ?? 0) + 1);
    }
    checks++;
  }
  return {
    project: history.project,
    source: history.source,
    since: iso(history.since),
    until: iso(history.until),
    shortened: history.shortened,
    checks,
    incidents: recorder.of(null),
    jobs: jobs.map((job) => replayedJob(job, history, missed, recorder.of(job.row.id))),
  };
}

function withThresholds(row: InventoryJob, { graceMinutes, failureThreshold }: Thresholds): InventoryJob {
  return {
    ...row,
    graceMinutes: graceMinutes ?? row.graceMinutes,
    failureThreshold: failureThreshold ?? row.failureThreshold,
  };
}

/** Every quarter of an hour after the beginning, and the end itself. */
function* instantsOf({ since, until }: History): Generator<number> {
  for (let now = Math.ceil(since / STEP_MS) * STEP_MS; now < until; now += STEP_MS) yield now;
  yield until;
}

/** Every job is known with its annotations, as gone: it returns when its history begins to show it. */
function knowledgeAtStart({ project, since }: History, jobs: readonly HistoryJob[]): HubKnowledge {
  return {
    projectName: project,
    version: 0,
    runCursor: null,
    launcherWasMissing: false,
    timeZone: null,
    alertOnDrift: false,
    openRuns: [],
    jobs: jobs.map(({ row }) => ({ ...row, removedAt: since })),
    states: new Map(),
    incidents: [],
    alertConfigs: [],
  };
}

function factsAt(
  now: number,
  history: History,
  jobs: readonly HistoryJob[],
  from: number,
  until: number,
  knowledge: HubKnowledge,
): CronFacts {
  return {
    now,
    // an earlier start than the last is not known
    serverStartedAt: history.serverStartedAt <= now ? history.serverStartedAt : 0,
    settings: history.settings,
    launcherAlive: null,
    jobs: jobs.filter(({ shownFrom, shownUntil }) => shownFrom <= now && now < shownUntil).map(({ job }) =>
      job
    ),
    runs: history.runs.slice(from, until).map((run) => seenAt(run, now)),
    reread: knowledge.openRuns.flatMap(({ runId }) => {
      const run = runOf(history, runId);
      return run === undefined ? [] : [seenAt(run, now)];
    }),
    sessions: null,
    successChecks: [],
    cursor: history.runs[until - 1]?.runId ?? null,
    reading: knowledge.version === 0 ? "first" : "next",
    knownUntil: knownUntil(history, until) ?? now,
  };
}

/** The last run before rows were deleted, while the next that is left has not come; `null` where none is missing. */
function knownUntil({ runs }: History, place: number): number | null {
  const [before, after] = [runs[place - 1], runs[place]];
  return before !== undefined && after !== undefined && after.runId - before.runId > 1
    ? before.seenFrom
    : null;
}

function runOf({ runs }: History, runId: number): History["runs"][number] | undefined {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((runs[middle]?.runId ?? Infinity) < runId) low = middle + 1;
    else high = middle;
  }
  return runs[low]?.runId === runId ? runs[low] : undefined;
}

/** A run as it looked at an instant: one that ended later was in progress. */
function seenAt({ seenFrom: _, ...run }: History["runs"][number], now: number): CronRun {
  return run.endedAt !== null && run.endedAt > now
    ? { ...run, status: "running", message: null, endedAt: null }
    : run;
}

/** What the hub would have known after it recorded an evaluation. */
function knowledgeAfter(
  before: HubKnowledge,
  { observations }: Evaluation,
  now: number,
  recorder: Recorder,
): HubKnowledge {
  const seen = new Map((observations.jobs ?? []).map((job) => [job.id, job]));
  const removed = new Set(observations.removed ?? []);
  const project = observations.project?.status === "ok" ? observations.project : null;
  return {
    ...before,
    version: before.version + 1,
    runCursor: project?.runCursor ?? before.runCursor,
    openRuns: project?.openRuns ?? before.openRuns,
    jobs: before.jobs.map((job) => ({
      ...job,
      ...seen.get(job.id),
      removedAt: seen.has(job.id) ? null : removed.has(job.id) ? now : job.removedAt,
    })),
    states: new Map([
      ...before.states,
      ...(observations.states ?? []).map((state) => [state.jobInventoryId, state] as const),
    ]),
    incidents: recorder.record(before.incidents, observations.incidents ?? [], now),
  };
}

/** Keeps every incident that a replay opens. */
interface Recorder {
  /** Answers those that are open afterwards. */
  record(
    open: readonly OpenIncident[],
    transitions: readonly IncidentTransition[],
    now: number,
  ): OpenIncident[];
  /** Those of a job by inventory id; `null`: those of the project. */
  of(jobInventoryId: string | null): ReplayedIncident[];
}

function recordIncidents(): Recorder {
  const all = new Map<string, { subject: string | null; incident: ReplayedIncident }>();
  return {
    record: (before, transitions, now) => {
      const open = new Map(before.map((incident) => [incident.id, incident]));
      for (const transition of transitions) {
        if (transition.action === "open") {
          const id = `incident ${all.size + 1}`;
          const { code, severity, summary, jobInventoryId: subject, resolution = null } = transition;
          const resolved_at = resolution === null ? null : iso(now);
          const incident = { code, severity, summary, opened_at: iso(now), resolved_at, resolution };
          all.set(id, { subject, incident });
          if (resolution === null) open.set(id, { ...transition, id, openedAt: now });
          continue;
        }
        const known = open.get(transition.id);
        if (known === undefined) continue;
        if (transition.action === "update") open.set(known.id, { ...known, ...transition });
        else {
          open.delete(known.id);
          const kept = all.get(known.id);
          if (kept !== undefined) {
            Object.assign(kept.incident, { resolved_at: iso(now), resolution: transition.resolution });
          }
        }
      }
      return [...open.values()];
    },
    of: (jobInventoryId) =>
      [...all.values()].filter(({ subject }) => subject === jobInventoryId).map(({ incident }) => incident),
  };
}

function replayedJob(
  { job, row, shownFrom }: HistoryJob,
  { since, until, runs, settings }: History,
  missed: ReadonlyMap<string, number>,
  incidents: ReplayedIncident[],
): ReplayedJob {
  const schedule = parseSchedule(job.schedule, { pgCronVersion: settings.pgCronVersion });
  const own = runs.filter((run) => run.jobId === job.jobId && run.seenFrom >= since);
  return {
    job_name: row.jobName,
    job_user: job.userName,
    schedule: job.schedule,
    active: job.active,
    since: shownFrom > until ? null : iso(Math.max(since, shownFrom)),
    grace_minutes: graceMinutes({
      intervalMinutes: typicalIntervalMinutes(schedule),
      annotatedMinutes: row.graceMinutes,
    }),
    failure_threshold: row.failureThreshold ?? 1,
    runs: own.length,
    failed: own.filter(({ status }) => status === "failed").length,
    missed_slots: missed.get(row.id) ?? 0,
    alerts: incidents.filter(({ severity }) => severity !== "info").length,
    incidents,
  };
}

function iso(instant: number): string {
  return new Date(instant).toISOString();
}
