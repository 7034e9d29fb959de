/** Writes what projects report of their functions: executions, and the counts of a log drain. */
import type postgres from "postgres";
import type { DrainedMinute, ReportedExecution } from "../domain/function_report.ts";
import { hubError } from "./client.ts";
import { toJson } from "./record.ts";

/**
 * Writes executions, each once, however often it is reported.
 *
 * @returns How many rows changed.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function recordExecutions(
  sql: postgres.Sql,
  projectName: string,
  executions: readonly ReportedExecution[],
): Promise<number> {
  const rows = executions.map((one) => ({
    id: one.id,
    function_name: one.function,
    status: one.status,
    http_status: one.http_status,
    started_at: one.started_at,
    ended_at: one.ended_at,
    duration_ms: one.duration_ms,
    error_name: one.error?.name ?? null,
    error_message: one.error?.message ?? null,
  }));
  try {
    const [row] = await sql<{ changed: number }[]>`
      select monitoring.record_executions(
        ${projectName}, ${toJson({ rows })}::text::jsonb -> 'rows') as changed`;
    return row?.changed ?? 0;
  } catch (error) {
    throw hubError(error, `record executions of project "${projectName}"`);
  }
}

/**
 * Adds the counts of one batch of a log drain.
 *
 * @param digest SHA-256 of the batch: one that comes twice counts once.
 * @returns Whether it was new.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function recordDrained(
  sql: postgres.Sql,
  projectName: string,
  digest: string,
  minutes: readonly DrainedMinute[],
): Promise<boolean> {
  const rows = minutes.map((one) => ({
    function_name: one.functionName,
    function_id: one.functionId,
    minute: new Date(one.minute).toISOString(),
    invocations: one.invocations,
    errors: one.errors,
    client_errors: one.clientErrors,
    duration_total_ms: one.durationTotalMs,
    duration_max_ms: one.durationMaxMs,
  }));
  try {
    const [row] = await sql<{ is_new: boolean }[]>`
      select monitoring.record_drained(
        ${projectName}, ${digest}, ${toJson({ rows })}::text::jsonb -> 'rows') as is_new`;
    return row?.is_new === true;
  } catch (error) {
    throw hubError(error, `record the log drain of project "${projectName}"`);
  }
}
