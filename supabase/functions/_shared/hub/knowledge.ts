/** Reads what the hub knows of one project, in one round trip. */
import type postgres from "postgres";
import { z } from "zod";
import { criticality, jobStatus, jobType, severity } from "../domain/job.ts";
import { incidentDetail, subjectKind } from "../domain/incident.ts";
import { recentCall } from "../domain/http.ts";
import { recentRun } from "../domain/run.ts";
import { alertRoute } from "../domain/delivery.ts";
import type { HubKnowledge } from "../domain/hub.ts";
import { hubError } from "./client.ts";

const instant = z.number().nullable();

const knowledge = z.object({
  version: z.number(),
  runCursor: z.number().int().nullable(),
  launcherWasMissing: z.boolean(),
  timeZone: z.string().nullable(),
  http: z.object({
    call_cursor: z.number().int().nullish(),
    open_calls: z.array(z.object({ call_id: z.number().int(), first_seen_at: z.number() })).nullish(),
    queue_first_id: z.number().nullish(),
    queue_since: z.number().nullish(),
  }),
  openRuns: z.array(z.object({ run_id: z.number().int(), first_seen_at: z.number() })),
  jobs: z.array(z.object({
    id: z.string(),
    jobType,
    jobName: z.string(),
    jobUser: z.string().nullable(),
    jobId: z.number().int().nullable(),
    schedule: z.string().nullable(),
    command: z.string().nullable(),
    active: z.boolean(),
    firstSeenAt: z.number(),
    removedAt: instant,
    description: z.string().nullable(),
    successCriteria: z.string().nullable(),
    criticality: criticality.nullable(),
    alertChannel: z.string().nullable(),
    owner: z.string().nullable(),
    runbookUrl: z.string().nullable(),
    graceMinutes: z.number().nullable(),
    maxRuntimeMinutes: z.number().nullable(),
    failureThreshold: z.number().int().nullable(),
    successCheckSql: z.string().nullable(),
    minRows: z.number().nullable(),
    checkBodyOk: z.boolean().nullable(),
  })),
  states: z.array(z.object({
    jobInventoryId: z.string(),
    status: jobStatus,
    verdict: z.string().nullable(),
    summary: z.string().nullable(),
    schedule: z.string().nullable(),
    slotsSince: instant,
    judgedUntil: instant,
    lastRunAt: instant,
    lastSuccessAt: instant,
    consecutiveFailures: z.number().int(),
    recentRuns: z.array(recentRun),
    recentCalls: z.array(recentCall),
    rowSeen: z.object({ version: z.string(), at: z.number() }).nullable(),
  })),
  incidents: z.array(z.object({
    id: z.string(),
    subjectKind,
    subjectId: z.string(),
    code: z.string(),
    severity,
    summary: z.string(),
    detail: incidentDetail,
    openedAt: z.number(),
  })),
  alertConfigs: z.array(alertRoute),
  alertOnDrift: z.boolean(),
});

/**
 * Reads everything that judging a project needs.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readKnowledge(sql: postgres.Sql, projectName: string): Promise<HubKnowledge> {
  try {
    const [row] = await sql<{ knowledge: unknown }[]>`
      select jsonb_build_object(
        'version', coalesce((select version from public.project_state where project_name = ${projectName}), 0),
        'runCursor', (select run_cursor from public.project_state where project_name = ${projectName}),
        'launcherWasMissing', coalesce((select settings ->> 'launcherAlive' = 'false' from public.project_state
                                        where project_name = ${projectName}), false),
        'timeZone', (select settings ->> 'timeZone' from public.project_state where project_name = ${projectName}),
        'openRuns', coalesce((select open_runs from public.project_state where project_name = ${projectName}), '[]'),
        'http', coalesce((select http from public.project_state where project_name = ${projectName}), '{}'),
        'jobs', (select coalesce(jsonb_agg(jsonb_build_object(
            'id', id, 'jobType', job_type, 'jobName', job_name, 'jobUser', job_user, 'jobId', job_id,
            'schedule', schedule, 'command', command, 'active', active,
            'firstSeenAt', ${epochMs(sql, "first_seen_at")}, 'removedAt', ${epochMs(sql, "removed_at")},
            'description', description, 'successCriteria', success_criteria, 'criticality', criticality,
            'alertChannel', alert_channel, 'owner', owner, 'runbookUrl', runbook_url,
            'graceMinutes', grace_minutes, 'maxRuntimeMinutes', max_runtime_minutes,
            'failureThreshold', failure_threshold,
            'successCheckSql', success_check_sql, 'minRows', min_rows, 'checkBodyOk', check_body_ok)), '[]')
          from public.job_inventory where project_name = ${projectName}),
        'states', (select coalesce(jsonb_agg(jsonb_build_object(
            'jobInventoryId', s.job_inventory_id, 'status', s.status, 'verdict', s.verdict, 'summary', s.summary,
            'schedule', s.schedule, 'slotsSince', ${epochMs(sql, "s.slots_since")},
            'judgedUntil', ${epochMs(sql, "s.judged_until")}, 'lastRunAt', ${epochMs(sql, "s.last_run_at")},
            'lastSuccessAt', ${epochMs(sql, "s.last_success_at")},
            'consecutiveFailures', s.consecutive_failures, 'recentRuns', s.recent_runs,
            'recentCalls', s.recent_calls, 'rowSeen', s.row_seen)), '[]')
          from public.job_state s join public.job_inventory i on i.id = s.job_inventory_id
          where i.project_name = ${projectName}),
        'incidents', (select coalesce(jsonb_agg(jsonb_build_object(
            'id', id, 'subjectKind', subject_kind, 'subjectId', subject_id, 'code', code, 'severity', severity,
            'summary', summary, 'detail', detail, 'openedAt', ${epochMs(sql, "opened_at")})), '[]')
          from public.incidents
          -- a flapping incident is the alert policy's: no check ends it
          where project_name = ${projectName} and resolved_at is null and code <> 'flapping'),
        'alertConfigs', (select coalesce(jsonb_agg(monitoring.alert_route_json(c) order by c.created_at, c.id), '[]')
          from public.alert_config c),
        'alertOnDrift', coalesce((select value = 'true' from public.app_settings where key = 'alert_on_drift'), false)
      ) as knowledge`;
    const parsed = knowledge.parse(
      typeof row?.knowledge === "string" ? JSON.parse(row.knowledge) : row?.knowledge,
    );
    return {
      ...parsed,
      projectName,
      openRuns: parsed.openRuns.map((run) => ({ runId: run.run_id, firstSeenAt: run.first_seen_at })),
      http: {
        callCursor: parsed.http.call_cursor ?? null,
        openCalls: (parsed.http.open_calls ?? []).map((call) => ({
          callId: call.call_id,
          firstSeenAt: call.first_seen_at,
        })),
        queueFirstId: parsed.http.queue_first_id ?? null,
        queueSince: parsed.http.queue_since ?? null,
      },
      states: new Map(parsed.states.map((state) => [state.jobInventoryId, state])),
    };
  } catch (error) {
    throw hubError(error, `read what is known of project "${projectName}"`);
  }
}

/** SQL for a timestamptz column as epoch milliseconds. The column name is ours, never input. */
function epochMs(sql: postgres.Sql, column: string) {
  return sql.unsafe(`round(extract(epoch from ${column}) * 1000)`);
}
