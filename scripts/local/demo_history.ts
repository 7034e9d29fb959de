/** The demo history: a made-up past for a hub, so that reports, dashboards and the command line have something to show. */
import type postgres from "postgres";

const FILE = new URL("./demo_history.sql", import.meta.url);

/** Projects that are made up. Nobody watches them. */
export const DEMO_PROJECTS = ["demo-shop", "demo-crawler", "demo-assistant", "demo-archive"] as const;

/** Five weeks: enough to set a week beside the one before, four times over. */
const DAYS = 35;

/** How much of a past. */
export interface DemoHistoryOptions {
  /** Whole UTC days before today. Default 35. */
  days?: number;
}

/**
 * Writes runs, incidents, alerts, numbers and all that belongs to them, of {@link DEMO_PROJECTS}, up to now; what an
 * earlier call wrote goes. In one transaction. What is of other projects stays as it is, but for metrics that are off: they
 * are switched on.
 *
 * @param sql As the hub's owner.
 */
export async function seedDemoHistory(
  sql: postgres.Sql,
  { days = DAYS }: DemoHistoryOptions = {},
): Promise<void> {
  // statements of one simple query are one transaction, and the setting ends with it
  const setting = `select set_config('demo_history.days', '${Math.trunc(days)}', true);\n`;
  await sql.unsafe(setting + await Deno.readTextFile(FILE)).simple();
}
