/** Records what was seen of edge functions, in the transaction that records the observations judged from it. */
import type postgres from "postgres";
import type { DeployedFunction, JudgedHealthCheck, LogReading } from "../domain/edge_function.ts";
import type { Observations } from "../domain/observation.ts";
import { hubError } from "./client.ts";
import { type Recorded, toJson, toPayload, toRecorded } from "./record.ts";

/** What was seen besides the observations; absent parts mean "nothing to say of it". */
export interface EdgeSeen {
  functions?: readonly (DeployedFunction & { jobInventoryId: string })[];
  /** By `jobInventoryId`. */
  healthChecks?: ReadonlyMap<string, JudgedHealthCheck>;
  logs?: LogReading | null;
}

/**
 * Writes one project's observations and what they were judged from.
 *
 * @throws {AppError} `conflict` when another caller recorded this project since it was read: read again;
 *   `hub_unreachable` or `hub_failed` otherwise.
 */
export async function recordEdge(
  sql: postgres.Sql,
  observations: Observations,
  seen: EdgeSeen,
): Promise<Recorded> {
  try {
    const [row] = await sql`
      select monitoring.record_edge_observations(
        ${toJson(toPayload(observations))}::text::jsonb, ${toJson(seenRow(seen))}::text::jsonb) as recorded`;
    return toRecorded(row?.recorded);
  } catch (error) {
    throw hubError(error, `record the edge functions of project "${observations.projectName}"`);
  }
}

/**
 * Executions that no function can still be at have failed; reports that are too old go.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function tidyReports(sql: postgres.Sql): Promise<void> {
  try {
    await sql`select monitoring.settle_lost_executions(), monitoring.purge_function_reports()`;
  } catch (error) {
    throw hubError(error, "settle lost executions");
  }
}

function seenRow(
  { functions = [], healthChecks = new Map(), logs = null }: EdgeSeen,
): Record<string, unknown> {
  return {
    functions: functions.map((one) => ({
      job_inventory_id: one.jobInventoryId,
      function_id: one.functionId,
      status: one.status,
      version: one.version,
      deployed_at: iso(one.deployedAt),
    })),
    health_checks: [...healthChecks].map(([id, check]) => ({
      job_inventory_id: id,
      checked_at: iso(check.at),
      outcome: check.outcome,
      http_status: check.httpStatus,
      latency_ms: check.latencyMs,
      message: check.message,
      failures_in_a_row: check.failuresInARow,
      slow_in_a_row: check.slowInARow,
    })),
    ...(logs === null ? {} : {
      minutes: minuteRows(logs.minutes),
      logs: {
        read_from: iso(logs.readFrom),
        read_until: iso(logs.readUntil),
        not_before: iso(logs.notBefore),
        error_message: logs.error,
      },
    }),
  };
}

/** Counted minutes as the hub's SQL takes them. */
export function minuteRows(minutes: LogReading["minutes"]): Record<string, unknown>[] {
  return minutes.map((one) => ({
    function_name: one.functionName,
    minute: iso(one.minute),
    invocations: one.invocations,
    errors: one.errors,
    client_errors: one.clientErrors,
    duration_total_ms: one.durationTotalMs,
    duration_max_ms: one.durationMaxMs,
  }));
}

function iso(instant: number | null): string | null {
  return instant === null ? null : new Date(instant).toISOString();
}
