/** Reads what the hub knows of a project's edge functions and webhooks, in one round trip. */
import type postgres from "postgres";
import { z } from "zod";
import {
  DEFAULTS,
  type EdgeKnowledge,
  healthCheckOutcome,
  type InvocationMinute,
  invocationSource,
} from "../domain/edge_function.ts";
import { hubError } from "./client.ts";
import { minuteRows } from "./edge_record.ts";
import { toJson } from "./record.ts";

const instant = z.number().nullable();
const text = z.string().nullable();

const invocationMinute = z.object({
  functionName: z.string(),
  source: invocationSource,
  minute: z.number(),
  invocations: z.number(),
  errors: z.number(),
  clientErrors: z.number(),
  durationTotalMs: z.number(),
  durationMaxMs: z.number(),
});

const functionKnowledge = z.object({
  jobInventoryId: z.string(),
  expectations: z.object({
    healthCheckUrl: text,
    healthCheckHeader: text,
    healthCheckStatus: text,
    healthCheckBody: text,
    healthCheckTimeoutMs: z.number().nullable(),
    healthCheckMaxMs: z.number().nullable(),
    maxErrorPercent: z.number().nullable(),
    minInvocations: z.number().nullable(),
    maxSilenceMinutes: z.number().nullable(),
  }),
  isHeartbeat: z.boolean(),
  deployed: z.object({
    functionId: z.string(),
    slug: z.string(),
    status: z.enum(["ACTIVE", "THROTTLED"]),
    version: z.number(),
    deployedAt: instant,
  }).nullable(),
  health: z.object({
    checkedAt: z.number(),
    outcome: healthCheckOutcome,
    message: text,
    latencyMs: z.number().nullable(),
    failuresInARow: z.number(),
    slowInARow: z.number(),
  }).nullable(),
  minutes: z.array(invocationMinute),
  newMinutes: z.array(invocationMinute),
  lastInvocationAt: instant,
  wrappedSince: instant,
  lastFailure: z.object({
    at: z.number(),
    httpStatus: z.number().nullable(),
    errorName: text,
    errorMessage: text,
  }).nullable(),
});

const edgeKnowledge = z.object({
  logs: z.object({
    readFrom: instant,
    readUntil: instant,
    notBefore: instant,
    errorMessage: text,
    errorSince: instant,
    drainedFrom: instant,
    drainedUntil: instant,
  }).nullable(),
  functions: z.array(functionKnowledge),
});

const NO_LOGS: EdgeKnowledge["logs"] = {
  readFrom: null,
  readUntil: null,
  notBefore: null,
  errorMessage: null,
  errorSince: null,
  drainedFrom: null,
  drainedUntil: null,
};

/**
 * Reads what judging a project's edge functions needs besides `readKnowledge`.
 *
 * @param fresh Minutes of the logs that were just read: they stand for those of the same minute that are stored.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readEdgeKnowledge(
  sql: postgres.Sql,
  projectName: string,
  fresh: readonly InvocationMinute[] = [],
): Promise<EdgeKnowledge> {
  try {
    const [row] = await sql.unsafe(QUERY, [
      projectName,
      toJson({ minutes: minuteRows([...fresh]) }),
      DEFAULTS.minInvocations,
    ]);
    const answer: unknown = row?.["knowledge"];
    const parsed = edgeKnowledge.parse(typeof answer === "string" ? JSON.parse(answer) : answer);
    return {
      logs: parsed.logs ?? NO_LOGS,
      functions: new Map(parsed.functions.map((one) => [one.jobInventoryId, one])),
    };
  } catch (error) {
    throw hubError(error, `read what is known of the edge functions of project "${projectName}"`);
  }
}

const ms = (column: string) => `round(extract(epoch from ${column}) * 1000)`;

const MINUTE_JSON = `jsonb_build_object(
  'functionName', m.function_name, 'source', m.source, 'minute', ${ms("m.minute")},
  'invocations', m.invocations, 'errors', m.errors, 'clientErrors', m.client_errors,
  'durationTotalMs', m.duration_total_ms, 'durationMaxMs', m.duration_max_ms)`;

/** $1 project, $2 fresh minutes of the logs, $3 default of `min_invocations`. */
const QUERY = `
  with job as (
    select i.*, s.judged_until
    from public.job_inventory i
    left join public.job_state s on s.job_inventory_id = i.id
    where i.project_name = $1 and i.job_type in ('edge_function', 'webhook')
  ), fresh as (
    select f.function_name, 'log'::text as source, f.minute, f.invocations, f.errors, f.client_errors,
           f.duration_total_ms, f.duration_max_ms
    from jsonb_to_recordset($2::text::jsonb -> 'minutes') as f(
           function_name text, minute timestamptz, invocations bigint, errors bigint, client_errors bigint,
           duration_total_ms double precision, duration_max_ms double precision)
  ), minute as materialized (
    select function_name, source, minute, invocations, errors, client_errors, duration_total_ms, duration_max_ms
    from public.function_minutes m
    where m.project_name = $1 and m.minute > now() - interval '24 hours'
      and not exists (
        select from fresh f where m.source = 'log' and f.function_name = m.function_name and f.minute = m.minute)
    union all
    select * from fresh
  ), newest as (
    select m.*, sum(m.invocations) over newer - m.invocations as newer_ones
    from minute m
    window newer as (partition by m.function_name, m.source order by m.minute desc)
  ), recent as (
    select m.function_name, jsonb_agg(${MINUTE_JSON}) as minutes
    from newest m
    join job j on j.job_type = 'edge_function' and j.job_name = m.function_name and j.job_user is null
    where m.newer_ones < coalesce(j.min_invocations, $3::integer)
    group by m.function_name
  ), unlogged as (
    select m.function_name, jsonb_agg(${MINUTE_JSON}) as minutes
    from minute m
    join job j on j.job_type = 'edge_function' and j.job_name = m.function_name and j.job_user is null
    where m.minute > coalesce(j.judged_until, now() - interval '1 hour')
    group by m.function_name
  )
  select jsonb_build_object(
    'logs', (select jsonb_build_object(
        'readFrom', ${ms("read_from")}, 'readUntil', ${ms("read_until")}, 'notBefore', ${ms("not_before")},
        'errorMessage', error_message, 'errorSince', ${ms("error_since")},
        'drainedFrom', ${ms("drained_from")}, 'drainedUntil', ${ms("drained_until")})
      from public.function_log_state where project_name = $1),
    'functions', (select coalesce(jsonb_agg(jsonb_build_object(
        'jobInventoryId', j.id,
        'expectations', jsonb_build_object(
          'healthCheckUrl', j.health_check_url, 'healthCheckHeader', j.health_check_header,
          'healthCheckStatus', j.health_check_status, 'healthCheckBody', j.health_check_body,
          'healthCheckTimeoutMs', j.health_check_timeout_ms, 'healthCheckMaxMs', j.health_check_max_ms,
          'maxErrorPercent', j.max_error_percent, 'minInvocations', j.min_invocations,
          'maxSilenceMinutes', j.max_silence_minutes),
        'isHeartbeat', exists (
          select from public.job_heartbeats b
          where b.project_name = $1 and b.job_type = j.job_type and b.job_name = j.job_name),
        'deployed', case when e.job_inventory_id is not null then jsonb_build_object(
          'functionId', e.function_id, 'slug', j.job_name, 'status', e.status, 'version', e.version,
          'deployedAt', ${ms("e.deployed_at")}) end,
        'health', case when h.job_inventory_id is not null then jsonb_build_object(
          'checkedAt', ${ms("h.checked_at")}, 'outcome', h.outcome, 'message', h.message,
          'latencyMs', h.latency_ms, 'failuresInARow', h.failures_in_a_row, 'slowInARow', h.slow_in_a_row) end,
        'minutes', coalesce(r.minutes, '[]'),
        'newMinutes', coalesce(u.minutes, '[]'),
        'lastInvocationAt', (
          select ${ms("max(m.minute)")} from (
            select max(minute) as minute from public.function_minutes
            where project_name = $1 and function_name = j.job_name and j.job_type = 'edge_function'
            union all
            select max(minute) from fresh where function_name = j.job_name) as m),
        'wrappedSince', (
          select ${ms("min(minute)")} from public.function_minutes
          where project_name = $1 and function_name = j.job_name and source = 'wrapper'),
        'lastFailure', (
          select jsonb_build_object(
            'at', ${ms("x.started_at")}, 'httpStatus', x.http_status, 'errorName', x.error_name,
            'errorMessage', x.error_message)
          from public.function_executions x
          where x.project_name = $1 and x.function_name = j.job_name and x.status = 'failed'
            and x.started_at > now() - interval '24 hours'
          order by x.started_at desc limit 1))), '[]')
      from job j
      left join public.edge_functions e on e.job_inventory_id = j.id
      left join public.health_checks h on h.job_inventory_id = j.id
      left join recent r on r.function_name = j.job_name and j.job_type = 'edge_function' and j.job_user is null
      left join unlogged u on u.function_name = j.job_name and j.job_type = 'edge_function' and j.job_user is null)
  ) as knowledge`;
