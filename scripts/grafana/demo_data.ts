/** Fills an empty hub with something to look at. */
import type postgres from "postgres";

const FILE = new URL("./demo_data.sql", import.meta.url);

/**
 * Writes a day and a half of runs, incidents and numbers of three made-up projects. In one transaction.
 *
 * @param sql As the hub's owner; nothing of it may be in the way of made-up data.
 */
export async function seedDemoData(sql: postgres.Sql): Promise<void> {
  await sql.unsafe(await Deno.readTextFile(FILE)).simple();
}
