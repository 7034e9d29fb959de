/** Writes the default routes into a hub in which nobody has said where alerts go. */
import type postgres from "postgres";
import { hubError } from "./client.ts";

/**
 * Inserts rows into `alert_config` where it is empty, so that a person sees and edits them.
 *
 * @param rows Columns by their names.
 * @returns How many were inserted.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function ensureDefaultAlertConfig(sql: postgres.Sql, rows: readonly object[]): Promise<number> {
  if (rows.length === 0) return 0;
  try {
    const [row] = await sql<{ inserted: number }[]>`
      select monitoring.ensure_default_alert_config(${JSON.stringify(rows)}::text::jsonb) as inserted`;
    return row?.inserted ?? 0;
  } catch (error) {
    throw hubError(error, "write the default routes");
  }
}
