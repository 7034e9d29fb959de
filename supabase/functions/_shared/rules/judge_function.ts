/** Judges one edge function or webhook: what was seen and what was known of it → state, log, and its incident. */
import type { NewsEvent } from "../domain/delivery.ts";
import {
  DEFAULTS,
  type EdgeFacts,
  type EdgeKnowledge,
  type FunctionKnowledge,
  type InvocationMinute,
  type JudgedHealthCheck,
  type LogReading,
  type LogState,
} from "../domain/edge_function.ts";
import type { HubKnowledge, InventoryJob, JobState, OpenIncident } from "../domain/hub.ts";
import type { JobStatus, JobType, Severity } from "../domain/job.ts";
import type { IncidentTransition, LoggedRun, Resolution } from "../domain/observation.ts";
import type { RecentRun } from "../domain/run.ts";
import { functionChecks } from "./edge_checks/mod.ts";
import type { FunctionView, Verdict } from "./edge_checks/check.ts";
import { invocationThreshold, isRateExceeded } from "./edge_checks/failing.ts";
import { isExpected } from "./edge_checks/removed.ts";
import { bestSource, ratePhrase, recentInvocations, sumCounts } from "./invocations.ts";
import { owedDeliveries, severityOfJob } from "./owed_deliveries.ts";
import { judgeHealthAnswer } from "./health_answers.ts";
import { formatDuration } from "./text.ts";

/** Logs come late: minutes younger than this are judged, but not yet logged. */
const SETTLED_AFTER_MS = 5 * 60_000;
/** A drain that was heard of within this time is alive. */
const DRAIN_ALIVE_MS = 15 * 60_000;
const RECENT_RUNS = 24;

/** One function as a check's answer tells it. */
export interface FunctionReport {
  id: string;
  jobName: string;
  jobType: JobType;
  criticality: string | null;
  status: JobStatus;
  verdict: string | null;
  summary: string;
  /** ISO 8601. */
  lastRunAt: string | null;
}

/** What one function's facts come to. */
export interface JudgedFunction {
  state: JobState;
  runs: LoggedRun[];
  health: JudgedHealthCheck | null;
  transitions: IncidentTransition[];
  report: FunctionReport;
}

interface Conclusion {
  status: JobStatus;
  verdicts: Verdict[];
  /** One word for the state: the first verdict's code, or the doubt. */
  code: string | null;
  summary: string;
}

/** Judges one function or webhook. */
export function judgeFunction(
  job: InventoryJob,
  own: FunctionKnowledge,
  facts: EdgeFacts,
  edge: EdgeKnowledge,
  knowledge: HubKnowledge,
  now: number,
): JudgedFunction {
  const previous = knowledge.states.get(job.id) ?? null;
  const asked = facts.healthAnswers.get(job.id);
  const health = asked === undefined ? null : judgeHealthAnswer(asked, own.expectations, own.health, now);
  const view = viewOf(job, own, facts, edge, health, now);
  const conclusion = conclude(view);
  const settled = settledMinutes(own.newMinutes, previous?.judgedUntil ?? null, now);
  const windows = windowRun(view, settled);
  const runs = [
    ...windows === null ? [] : [windows],
    ...health === null ? [] : [healthCheckRun(job.id, health)],
  ];
  const state = stateOf(view, conclusion, previous, health, runs, settled);
  return {
    state,
    runs,
    health,
    transitions: transitions(view, conclusion, state, knowledge),
    report: {
      id: job.id,
      jobName: job.jobName,
      jobType: job.jobType,
      criticality: job.criticality,
      status: conclusion.status,
      verdict: conclusion.code,
      summary: conclusion.summary,
      lastRunAt: iso(state.lastRunAt),
    },
  };
}

function viewOf(
  job: InventoryJob,
  own: FunctionKnowledge,
  facts: EdgeFacts,
  edge: EdgeKnowledge,
  health: JudgedHealthCheck | null,
  now: number,
): FunctionView {
  const { expectations } = own;
  const listed = facts.deployed?.find(({ slug }) => slug === job.jobName);
  const isFunction = job.jobType === "edge_function";
  return {
    job,
    expectations,
    now,
    deployed: isFunction ? listed ?? own.deployed : null,
    health: expectations.healthCheckUrl === null ? null : health ?? own.health,
    recent: isFunction
      ? recentInvocations(own.minutes, expectations.minInvocations ?? DEFAULTS.minInvocations)
      : null,
    lastInvocationAt: isFunction ? own.lastInvocationAt : null,
    watched: isFunction ? watchedSpan(edge.logs, facts.logs, own.wrappedSince, now) : null,
    lastFailure: own.lastFailure,
  };
}

/** From when to when invocations would have been seen, by whoever has looked up to the latest time. */
function watchedSpan(
  logs: LogState,
  reading: LogReading | null,
  wrappedSince: number | null,
  now: number,
): FunctionView["watched"] {
  const spans: { from: number; until: number }[] = [];
  const read = { from: reading?.readFrom ?? logs.readFrom, until: reading?.readUntil ?? logs.readUntil };
  if (read.from !== null && read.until !== null) spans.push({ from: read.from, until: read.until });
  if (logs.drainedFrom !== null && logs.drainedUntil !== null) {
    const alive = now - logs.drainedUntil <= DRAIN_ALIVE_MS;
    spans.push({ from: logs.drainedFrom, until: alive ? now : logs.drainedUntil });
  }
  if (wrappedSince !== null) spans.push({ from: wrappedSince, until: now });
  return spans.toSorted((a, b) => b.until - a.until || a.from - b.from)[0] ?? null;
}

function conclude(view: FunctionView): Conclusion {
  const verdicts = functionChecks.flatMap((check) => check.evaluate(view) ?? []);
  const [main] = verdicts;
  if (main?.status !== undefined) {
    return { status: main.status, verdicts, code: main.code, summary: main.summary };
  }
  const doubt = doubtOf(view);
  return {
    status: doubt === null ? "healthy" : "unknown",
    verdicts,
    code: main?.code ?? doubt?.[0] ?? null,
    summary: main?.summary ?? doubt?.[1] ?? wellPhrase(view),
  };
}

/** Why a function without a verdict is still not healthy: healthy needs an answer or an invocation that went well. */
function doubtOf(view: FunctionView): [reason: string, summary: string] | null {
  const { health, recent, watched, expectations } = view;
  if (health !== null && health.outcome !== "success") {
    return ["below_threshold", health.message ?? "its health check failed"];
  }
  if (recent !== null && recent.errors === recent.invocations) {
    return [
      "below_threshold",
      `${recent.failedInARow} of ${invocationThreshold(view)} failures in a row that count as failing`,
    ];
  }
  if (health !== null || recent !== null) return null;
  if (expectations.healthCheckUrl !== null) {
    return ["no_answer_yet", "its health check has not been asked yet"];
  }
  if (view.job.jobType === "webhook") return ["not_watched", "it has no health_check_url"];
  if (watched === null) {
    return ["not_watched", "nobody watches it: no health check, no logs, no drain, no wrapper"];
  }
  if (watched.until < view.now - 60 * 60_000) {
    return ["logs_behind", `its logs are known up to ${formatDuration(view.now - watched.until)} ago only`];
  }
  return ["idle", "no invocation in 24 hours, and none is expected"];
}

function wellPhrase({ health, recent }: FunctionView): string {
  const parts = [
    ...(health === null ? [] : ["its health check answered well"]),
    ...(recent === null ? [] : [ratePhrase(recent)]),
  ];
  return parts.join("; ");
}

/** New minutes of one source that no late line will change any more. */
function settledMinutes(
  minutes: readonly InvocationMinute[],
  after: number | null,
  now: number,
): InvocationMinute[] {
  const settled = minutes.filter(({ minute }) =>
    minute > (after ?? -Infinity) && minute <= now - SETTLED_AFTER_MS
  );
  const source = bestSource(settled);
  return settled.filter((minute) => minute.source === source);
}

/** One row of the log for the invocations since the last one. */
function windowRun(view: FunctionView, minutes: readonly InvocationMinute[]): LoggedRun | null {
  const counts = sumCounts(minutes);
  const [first] = minutes;
  if (first === undefined || counts.invocations === 0) return null;
  const recent = { ...counts, source: first.source, oldestAt: 0, newestAt: 0, failedInARow: 0 };
  const failed = counts.errors === counts.invocations || isRateExceeded(view, recent);
  return {
    jobInventoryId: view.job.id,
    status: failed ? "failed" : "success",
    errorMessage: counts.errors === 0 ? null : `${counts.errors} of ${counts.invocations} invocations failed`,
    runAt: Math.max(...minutes.map(({ minute }) => minute)),
    runId: null,
    durationMs: counts.durationTotalMs / counts.invocations,
    source: first.source,
  };
}

function healthCheckRun(jobInventoryId: string, health: JudgedHealthCheck): LoggedRun {
  const { outcome, message, at, latencyMs } = health;
  return {
    jobInventoryId,
    status: outcome,
    errorMessage: message,
    runAt: at,
    runId: null,
    durationMs: latencyMs,
    source: "health_check",
  };
}

function stateOf(
  view: FunctionView,
  conclusion: Conclusion,
  previous: JobState | null,
  health: JudgedHealthCheck | null,
  runs: readonly LoggedRun[],
  settled: readonly InvocationMinute[],
): JobState {
  const { recent, lastInvocationAt } = view;
  const successAt = [
    previous?.lastSuccessAt ?? null,
    health?.outcome === "success" ? health.at : null,
    recent !== null && recent.failedInARow === 0 && recent.invocations > 0 ? recent.newestAt : null,
  ];
  return {
    jobInventoryId: view.job.id,
    status: conclusion.status,
    verdict: conclusion.code,
    summary: conclusion.summary,
    schedule: view.job.schedule,
    slotsSince: null,
    judgedUntil: latest([previous?.judgedUntil ?? null, ...settled.map(({ minute }) => minute)]),
    lastRunAt: latest([previous?.lastRunAt ?? null, lastInvocationAt, health?.at ?? null]),
    lastSuccessAt: latest(successAt),
    consecutiveFailures: Math.max(view.health?.failuresInARow ?? 0, recent?.failedInARow ?? 0),
    recentRuns: [...previous?.recentRuns ?? [], ...runs.map(recentRunOf)].slice(-RECENT_RUNS),
  };
}

function recentRunOf(run: LoggedRun): RecentRun {
  const ended = run.runAt === null || run.durationMs === null ? run.runAt : run.runAt + run.durationMs;
  return {
    runId: null,
    status: run.status === "missed" ? "unknown" : run.status,
    startedAt: iso(run.runAt),
    endedAt: iso(ended),
    message: run.errorMessage,
  };
}

/** Codes of incidents that leave a function working: an incident of their own, at the lowest severity. */
const DEGRADED_CODES: ReadonlySet<string> = new Set(["slow"]);

function transitions(
  view: FunctionView,
  conclusion: Conclusion,
  state: JobState,
  knowledge: HubKnowledge,
): IncidentTransition[] {
  const { job } = view;
  const incidents = knowledge.incidents.filter((one) =>
    one.subjectKind === "job" && one.subjectId === job.id
  );
  const common = {
    lastRunAt: iso(state.lastRunAt),
    lastSuccessAt: iso(state.lastSuccessAt),
    recentRuns: state.recentRuns.slice(-10),
  };
  const owed = (event: NewsEvent, severity: Severity) =>
    owedDeliveries(
      { severity, alertChannel: job.alertChannel, projectName: knowledge.projectName, event },
      knowledge.alertConfigs,
    );
  const [main, ...others] = conclusion.verdicts;
  const same = incidents.filter((incident) => main !== undefined && sameGravity(incident, main));
  const ended = incidents.filter((incident) => !same.includes(incident)).flatMap((incident) => {
    const resolution = resolutionOf(view, conclusion, incident);
    if (resolution === null) return [];
    const deliveries = resolution === "superseded" ? [] : owed("resolved", incident.severity);
    return [{ action: "resolve" as const, id: incident.id, resolution, detail: common, deliveries }];
  });
  if (main === undefined) return ended;
  const severity: Severity = main.severity ??
    (main.gravity === "outage" ? severityOfJob(job.criticality) : "low");
  const detail = { ...common, ...main.detail, also: others.map(({ summary }) => summary) };
  const { code, summary } = main;
  if (same.length > 0) {
    return [
      ...ended,
      ...same.map(({ id }) => ({ action: "update" as const, id, severity, summary, detail })),
    ];
  }
  const subject = { subjectKind: "job", subjectId: job.id, jobInventoryId: job.id } as const;
  const deliveries = owed("opened", severity);
  return [...ended, { action: "open", ...subject, code, severity, summary, detail, deliveries }];
}

function sameGravity(incident: OpenIncident, verdict: Verdict): boolean {
  return DEGRADED_CODES.has(incident.code) === (verdict.gravity === "degraded");
}

/** How an incident ends, or `null` while nothing shows that it has: unknown is no recovery. */
function resolutionOf(
  view: FunctionView,
  conclusion: Conclusion,
  incident: OpenIncident,
): Resolution | null {
  if (view.job.removedAt !== null) return isExpected(view.job, view.expectations) ? null : "removed";
  if (conclusion.verdicts.some(({ gravity }) => gravity === "outage")) return "superseded";
  if (DEGRADED_CODES.has(incident.code) || conclusion.status === "healthy") return "recovered";
  return hasCleared(view, incident.code) ? "recovered" : null;
}

/** Whether the condition itself is over, although nothing else is known of the function. */
function hasCleared(
  { deployed, expectations, lastInvocationAt, watched }: FunctionView,
  code: string,
): boolean {
  switch (code) {
    case "removed":
      return true;
    case "throttled":
      return deployed?.status === "ACTIVE";
    case "unhealthy":
    case "health_check_refused":
      return expectations.healthCheckUrl === null;
    case "silent":
      return expectations.maxSilenceMinutes === null || (watched !== null && lastInvocationAt !== null &&
        watched.until - lastInvocationAt <= expectations.maxSilenceMinutes * 60_000);
    default:
      return false;
  }
}

function latest(instants: readonly (number | null)[]): number | null {
  return instants.reduce((max, one) => one === null ? max : Math.max(max ?? one, one), null);
}

function iso(instant: number | null): string | null {
  return instant === null ? null : new Date(instant).toISOString();
}
