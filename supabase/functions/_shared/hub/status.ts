/** What the hub shows of everything. */
import type postgres from "postgres";
import { type BadgeFacts, badgeFacts, type StatusView, statusView } from "../domain/status.ts";
import { hubError } from "./client.ts";

/**
 * Everything at one instant.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readStatus(sql: postgres.Sql): Promise<StatusView> {
  try {
    const [row] = await sql`select monitoring.status_view() as view`;
    return statusView.parse(row?.view);
  } catch (error) {
    throw hubError(error, "read the status");
  }
}

/**
 * What a badge shows; `null` where none has the id.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readBadge(sql: postgres.Sql, id: string): Promise<BadgeFacts | null> {
  try {
    const [row] = await sql`select monitoring.status_of_badge(${id}) as facts`;
    return badgeFacts.nullable().parse(row?.facts ?? null);
  } catch (error) {
    throw hubError(error, "read a badge");
  }
}
