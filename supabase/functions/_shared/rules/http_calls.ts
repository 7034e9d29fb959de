/** What became of the HTTP calls that jobs made: told per run, once, as soon as all of its calls have ended. Pure. */
import type { HttpCall, HttpFacts, HttpReading, OpenCall, RecentCall } from "../domain/http.ts";
import type { LoggedRun, ObservedJob } from "../domain/observation.ts";
import type { RecentRun } from "../domain/run.ts";
import { redact } from "./redact.ts";
import { formatDuration, oneLine } from "./text.ts";

/** pg_net forgets an answer after 6 hours: what is not there by then will never be. */
const PATIENCE_MS = 6 * 3_600_000;
/** Numbers without a call that are looked for again. */
const GAPS_LIMIT = 500;
/** Call outcomes kept with a job's state. */
const RECENT_CALLS = 10;
/** Start and end of a run are noted by pg_cron's launcher, a moment apart from the run itself. */
const SPAN_MARGIN_MS = 1_000;

/** Nothing was read yet. */
export const NOTHING_READ: HttpReading = {
  callCursor: null,
  openCalls: [],
  queueFirstId: null,
  queueSince: null,
};

/** The calls of a look, by inventory id of the job that made them. */
export interface CallsOfJobs {
  byJob: ReadonlyMap<string, readonly HttpCall[]>;
  /** Names under which calls were made that belong to no job, each once. */
  strangers: string[];
}

/** Tells whose calls they are: by name and role, or by name alone where one job has it. */
export function callsOfJobs(calls: readonly HttpCall[], jobs: readonly ObservedJob[]): CallsOfJobs {
  const named = Map.groupBy(jobs, ({ jobName }) => jobName);
  const byJob = new Map<string, HttpCall[]>();
  const strangers = new Set<string>();
  for (const call of calls) {
    const candidates = named.get(call.job) ?? [];
    const own = candidates.find(({ jobUser }) => jobUser === call.calledBy);
    const job = own ?? (candidates.length === 1 ? candidates[0] : undefined);
    if (job === undefined) strangers.add(oneLine(redact(call.job)).slice(0, 100).toWellFormed());
    else byJob.set(job.id, [...byJob.get(job.id) ?? [], call]);
  }
  return { byJob, strangers: [...strangers] };
}

/** What one job's calls of a look come to. */
export interface JudgedCalls {
  /** For `job_health_log`. */
  logged: LoggedRun[];
  /** Of the last runs that made calls, newest last. */
  recent: RecentCall[];
  /** Whether calls of a run have not ended. */
  waiting: boolean;
}

/** How {@link judgeCalls} is to read answers, and what it may match them with. */
export interface CallsQuestion {
  jobInventoryId: string;
  calls: readonly HttpCall[];
  before: readonly RecentCall[];
  runs: readonly RecentRun[];
  /** `job_inventory.check_body_ok`: whether `"ok": false` in a body is a failure. */
  bodyOk: "checked" | "not checked";
}

/** Judges a job's calls, those of one transaction together: no row before all of them have ended. */
export function judgeCalls({ jobInventoryId, calls, before, runs, bodyOk }: CallsQuestion): JudgedCalls {
  const groups = groupsOf(calls);
  const ended = groups.filter((group) => !group.some(isWaiting));
  const recent = ended.map((group) => outcomeOf(group, runs, bodyOk));
  return {
    logged: recent.map((call): LoggedRun => ({
      jobInventoryId,
      status: call.outcome,
      errorMessage: call.outcome === "success" ? null : call.message,
      runAt: Date.parse(startOf(runs, call.runId) ?? call.calledAt),
      runId: call.runId,
      durationMs: null,
      source: "http",
    })),
    recent: [...before, ...recent].slice(-RECENT_CALLS),
    waiting: ended.length < groups.length,
  };
}

/** Runs for an alert: one whose calls failed is shown as failed, whatever pg_cron says. */
export function asTheirCallsEnded(runs: readonly RecentRun[], calls: readonly RecentCall[]): RecentRun[] {
  const outcomes = new Map(calls.map(({ runId, outcome }) => [runId, outcome]));
  return runs.map((run) => {
    const outcome = run.runId === null ? undefined : outcomes.get(run.runId);
    return run.status !== "success" || outcome === undefined ? run : { ...run, status: outcome };
  });
}

/** Where the next look goes on. */
export function nextReading(
  http: HttpFacts | null | undefined,
  before: HttpReading,
  now: number,
): HttpReading {
  const firstId = http?.queue?.firstId ?? null;
  const queue = {
    queueFirstId: firstId,
    queueSince: firstId === null ? null : firstId === before.queueFirstId ? before.queueSince ?? now : now,
  };
  if (http?.calls === null || http?.calls === undefined) return { ...before, ...queue };
  // installed anew: its numbers begin again
  if (isReplaced(http, before)) return { ...queue, callCursor: null, openCalls: [] };
  const callCursor = http.calls.reduce(
    (highest, { callId }) => Math.max(highest, callId),
    before.callCursor ?? 0,
  );
  return {
    ...queue,
    callCursor: callCursor === 0 ? before.callCursor : callCursor,
    openCalls: openCalls(http.calls, before, callCursor, now),
  };
}

/** Whether the project's list of calls is another one than at the last look: its numbers begin again. */
export function isReplaced(http: HttpFacts, before: HttpReading): boolean {
  return before.callCursor !== null && (http.lastCallId ?? 0) < before.callCursor;
}

/** Calls that have not ended with the others of their transaction, and numbers that a transaction may still bring. */
function openCalls(
  calls: readonly HttpCall[],
  before: HttpReading,
  cursor: number,
  now: number,
): OpenCall[] {
  const firstSeen = new Map(before.openCalls.map(({ callId, firstSeenAt }) => [callId, firstSeenAt]));
  const there = new Set(calls.map(({ callId }) => callId));
  const unended = groupsOf(calls).filter((group) => group.some(isWaiting)).flat();
  const missing = [...firstSeen.keys()].filter((callId) => !there.has(callId));
  if (before.callCursor !== null) {
    for (let id = cursor; id > before.callCursor && missing.length < GAPS_LIMIT; id--) {
      if (!there.has(id)) missing.push(id);
    }
  }
  return [...unended.map(({ callId }) => callId), ...missing.slice(0, GAPS_LIMIT)]
    .map((callId) => ({ callId, firstSeenAt: firstSeen.get(callId) ?? now }))
    .filter(({ callId, firstSeenAt }) => there.has(callId) || now - firstSeenAt < PATIENCE_MS);
}

function isWaiting({ state }: HttpCall): boolean {
  return state === "waiting";
}

/** By job as named, role and transaction; oldest first. */
function groupsOf(calls: readonly HttpCall[]): HttpCall[][] {
  const groups = Map.groupBy(calls, (call) => JSON.stringify([call.job, call.calledBy, call.transactionAt]));
  const last = (group: readonly HttpCall[]) => group.at(-1)?.calledAt ?? 0;
  return [...groups.values()].sort((a, b) => last(a) - last(b));
}

type Outcome = Pick<RecentCall, "outcome" | "reason" | "message">;

function outcomeOf(
  group: readonly HttpCall[],
  runs: readonly RecentRun[],
  bodyOk: CallsQuestion["bodyOk"],
): RecentCall {
  const outcomes = group.map((call) => outcomeOfCall(call, bodyOk));
  const of = (outcome: Outcome["outcome"]) => outcomes.filter((one) => one.outcome === outcome);
  const bad = [...of("failed"), ...of("unknown")];
  const worst = bad[0] ?? outcomes[0] ?? { outcome: "success", reason: "answer", message: "no call" };
  const many = group.length > 1 && bad.length > 0
    ? `${bad.length} of ${group.length} calls did not succeed; the first: ${worst.message}`
    : worst.message;
  const last = group.at(-1);
  return {
    callId: last?.callId ?? 0,
    runId: runOf(last?.calledAt ?? 0, runs),
    calledAt: new Date(last?.calledAt ?? 0).toISOString(),
    outcome: worst.outcome,
    reason: worst.reason,
    calls: group.length,
    message: many,
  };
}

function outcomeOfCall(call: HttpCall, bodyOk: CallsQuestion["bodyOk"]): Outcome {
  const target = targetOf(call.url);
  const doubt = (reason: Outcome["reason"], why: string): Outcome => ({
    outcome: "unknown",
    reason,
    message: `nobody can say what became of the call to ${target}: ${why}`,
  });
  switch (call.state) {
    case "answered": {
      const status = call.statusCode ?? 0;
      const said = call.excerpt === null
        ? ""
        : `: ${oneLine(redact(call.excerpt)).slice(0, 200).toWellFormed()}`;
      if (status >= 400) {
        return {
          outcome: "failed",
          reason: "answer",
          message: `the call got ${status} from ${target}${said}`,
        };
      }
      if (bodyOk === "checked" && call.bodyOk === false) {
        return {
          outcome: "failed",
          reason: "answer",
          message: `the call got ${status} from ${target}, and "ok": false in its body${said}`,
        };
      }
      return { outcome: "success", reason: "answer", message: `the call got ${status} from ${target}` };
    }
    case "error": {
      const why = oneLine(redact(call.errorMessage ?? "no reason given")).slice(0, 200).toWellFormed();
      return { outcome: "failed", reason: "error", message: `the call to ${target} failed: ${why}` };
    }
    case "timed out":
      return doubt(
        "timeout",
        `pg_net waited ${
          formatDuration(call.timeoutMs)
        } and gave up, which says nothing about what the function did`,
      );
    case "lost in a crash":
      return doubt("lost", "the server crashed, and pg_net's answers with it");
    case "gone":
    case "waiting":
      return doubt("lost", "pg_net has neither request nor answer any more (it keeps answers for 6 hours)");
    case "ambiguous":
      return doubt(
        "ambiguous",
        "net._http_response has several answers to it, so somebody else than pg_net wrote there",
      );
  }
}

/** Host and slug of an edge function, otherwise host and path. */
export function targetOf(url: string): string {
  const parts = /^[a-z]+:\/\/([^/?#]+)([^?#]*)/i.exec(url);
  if (parts === null) return "an address that is none";
  const path = (parts[2] ?? "").replace(/^\/functions\/v1(?=\/)/, "").replace(/\/+$/, "");
  return oneLine(redact(`${parts[1]}${path}`)).slice(0, 200).toWellFormed();
}

/** The run in whose time a call was made: a job runs once at a time. What failed anyway is counted as failed already. */
function runOf(calledAt: number, runs: readonly RecentRun[]): number | null {
  const around = runs.findLast((run) => spans(run, calledAt, 0)) ??
    runs.findLast((run) => spans(run, calledAt, SPAN_MARGIN_MS));
  return around === undefined || around.status === "failed" ? null : around.runId;
}

function spans({ startedAt, endedAt, status }: RecentRun, instant: number, marginMs: number): boolean {
  if (startedAt === null || (endedAt === null && status !== "running")) return false;
  const until = endedAt === null ? Infinity : Date.parse(endedAt);
  return instant >= Date.parse(startedAt) - marginMs && instant <= until + marginMs;
}

function startOf(runs: readonly RecentRun[], runId: number | null): string | null {
  return runId === null ? null : runs.find((run) => run.runId === runId)?.startedAt ?? null;
}
