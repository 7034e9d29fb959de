/** Records observations through the one SQL function that writes them. */
import type postgres from "postgres";
import { z } from "zod";
import type { IncidentTransition, Observations, ObservedHttp, OwedDelivery } from "../domain/observation.ts";
import type { JobState } from "../domain/hub.ts";
import { AppError } from "../errors.ts";
import { hubError } from "./client.ts";

const recorded = z.object({
  version: z.number(),
  logged: z.number(),
  incidents_opened: z.number(),
  incidents_resolved: z.number(),
});

/** What recording changed. */
export interface Recorded {
  logged: number;
  incidentsOpened: number;
  incidentsResolved: number;
}

/**
 * Writes one project's observations in one transaction.
 *
 * @throws {AppError} `conflict` when another caller recorded this project since it was read: read again;
 *   `hub_unreachable` or `hub_failed` otherwise.
 */
export async function recordObservations(sql: postgres.Sql, observations: Observations): Promise<Recorded> {
  try {
    const [row] = await sql`
      select monitoring.record_observations(${toJson(toPayload(observations))}::text::jsonb) as recorded`;
    return toRecorded(row?.recorded);
  } catch (error) {
    throw hubError(error, `record what was seen of project "${observations.projectName}"`);
  }
}

/** What the SQL functions that record answer. */
export function toRecorded(answer: unknown): Recorded {
  const result = recorded.parse(answer);
  return {
    logged: result.logged,
    incidentsOpened: result.incidents_opened,
    incidentsResolved: result.incidents_resolved,
  };
}

/**
 * How often a project is looked at, when somebody else recorded it meanwhile. Of several at once one comes through each
 * time: enough for five, and for one of the other functions that fall on the same minute.
 */
const ATTEMPTS = 6;

/**
 * Runs a look that ends in {@link recordObservations} again from its beginning when it met a conflict: what was read
 * before is no longer the newest.
 *
 * @throws {AppError} what the last attempt threw.
 */
export async function untilRecorded<T>(look: () => Promise<T>): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      return await look();
    } catch (error) {
      if (!(error instanceof AppError && error.code === "conflict") || attempt === ATTEMPTS) throw error;
    }
  }
}

/** What `monitoring.record_observations` takes. */
export function toPayload(seen: Observations): Record<string, unknown> {
  return {
    project: seen.projectName,
    project_id: seen.projectRef,
    expected_version: seen.expectedVersion,
    project_state: projectState(seen.project),
    jobs: seen.jobs?.map((job) => ({
      id: job.id,
      job_type: job.jobType,
      job_name: job.jobName,
      job_user: job.jobUser,
      job_id: job.jobId,
      schedule: job.schedule,
      command: job.command,
      active: job.active,
      expected_interval_minutes: job.expectedIntervalMinutes,
      warnings: job.warnings?.map(({ message }) => message),
    })),
    removed: seen.removed,
    changes: seen.changes?.map((change) => ({
      job_inventory_id: change.jobInventoryId,
      job_type: change.jobType,
      job_name: change.jobName,
      change: change.change,
      old_value: change.oldValue,
      new_value: change.newValue,
    })),
    runs: seen.runs?.map((run) => ({
      job_inventory_id: run.jobInventoryId,
      status: run.status,
      error_message: run.errorMessage,
      run_at: iso(run.runAt),
      run_id: run.runId,
      duration_ms: run.durationMs,
      source: run.source,
    })),
    states: seen.states?.map(stateRow),
    incidents: seen.incidents?.map(incidentRow),
  };
}

function projectState(project: Observations["project"]): Record<string, unknown> {
  if (project === undefined) return {};
  if (project.status === "error") {
    return { status: "error", error_code: project.errorCode, error_message: project.errorMessage };
  }
  return {
    status: "ok",
    run_cursor: project.runCursor,
    open_runs: project.openRuns.map((run) => ({ run_id: run.runId, first_seen_at: run.firstSeenAt })),
    settings: project.settings,
    clock_offset_ms: project.clockOffsetMs,
    http: project.http === undefined ? undefined : httpState(project.http),
  };
}

function httpState({ reading, ...seen }: ObservedHttp): Record<string, unknown> {
  const { queue, lastHour } = seen;
  return {
    call_cursor: reading.callCursor,
    open_calls: reading.openCalls.map((call) => ({ call_id: call.callId, first_seen_at: call.firstSeenAt })),
    queue_first_id: reading.queueFirstId,
    queue_since: reading.queueSince,
    queue_length: queue?.length ?? null,
    worker_up: queue?.workerUp ?? null,
    answers_last_hour: lastHour?.answers ?? null,
    failed_last_hour: lastHour?.failed ?? null,
    timed_out_last_hour: lastHour?.timedOut ?? null,
    calls_kept: seen.callsKept,
    strangers: seen.strangers,
    errors: seen.errors,
  };
}

function stateRow(state: JobState): Record<string, unknown> {
  return {
    job_inventory_id: state.jobInventoryId,
    status: state.status,
    verdict: state.verdict,
    summary: state.summary,
    schedule: state.schedule,
    slots_since: iso(state.slotsSince),
    judged_until: iso(state.judgedUntil),
    last_run_at: iso(state.lastRunAt),
    last_success_at: iso(state.lastSuccessAt),
    consecutive_failures: state.consecutiveFailures,
    recent_runs: state.recentRuns,
    recent_calls: state.recentCalls,
    row_seen: state.rowSeen ?? null,
  };
}

function incidentRow(transition: IncidentTransition): Record<string, unknown> {
  switch (transition.action) {
    case "open":
      return {
        action: "open",
        subject_kind: transition.subjectKind,
        subject_id: transition.subjectId,
        job_inventory_id: transition.jobInventoryId,
        code: transition.code,
        severity: transition.severity,
        summary: transition.summary,
        detail: transition.detail,
        resolution: transition.resolution ?? null,
        deliveries: transition.deliveries.map(deliveryRow),
      };
    case "update":
      return { ...transition };
    case "resolve":
      return { ...transition, deliveries: transition.deliveries.map(deliveryRow) };
  }
}

function deliveryRow(owed: OwedDelivery): Record<string, unknown> {
  return owed.state === "due"
    ? { state: "due", channel: owed.channel, alert_config_id: owed.alertConfigId, last_error: null }
    : { state: "unroutable", channel: null, alert_config_id: null, last_error: owed.lastError };
}

/** ISO 8601 of epoch milliseconds. */
export function iso(instant: number | null): string | null {
  return instant === null ? null : new Date(instant).toISOString();
}

/** JSON that Postgres takes: jsonb knows neither NUL nor half a surrogate pair. */
export function toJson(payload: Record<string, unknown>): string {
  return JSON.stringify(
    payload,
    (_key, value: unknown) => typeof value === "string" ? value.replaceAll("\0", "").toWellFormed() : value,
  );
}
