/** What is still to be told to others, and how far that has come. */
import type postgres from "postgres";
import { z } from "zod";
import { type Cursor, exportedCheckIn, exportedIncident, exportedRun } from "../domain/export.ts";
import { hubError } from "./client.ts";

/** Who exports, with a cursor each. */
export type Exporter = "traces" | "check_ins";

const traces = z.object({ runs: z.array(exportedRun), incidents: z.array(exportedIncident) });
const checkIns = z.object({ until: z.string(), checkIns: z.array(exportedCheckIn) });

/** An id that comes before all others. */
const FIRST_ID = "00000000-0000-0000-0000-000000000000";

/** Runs and incidents that no one was told of. */
export type Traces = z.infer<typeof traces>;

/**
 * Lets this caller alone export while it works; `null` where another does.
 *
 * @throws what the work threw; {@link AppError} `hub_unreachable` or `hub_failed`.
 */
export async function withLease<T>(
  sql: postgres.Sql,
  exporter: Exporter,
  work: (token: string) => Promise<T>,
): Promise<T | null> {
  const [row] = await asked(
    sql<{ token: string | null }[]>`select monitoring.lease_export(${exporter}) as token`,
    "begin an export",
  );
  const token = row?.token ?? null;
  if (token === null) return null;
  try {
    return await work(token);
  } finally {
    // what is not given back ends by itself
    await sql`select monitoring.end_export(${exporter}, ${token})`.catch(() => {});
  }
}

/** The next runs and incidents, so many together at most. */
export async function readTraces(sql: postgres.Sql, limit: number): Promise<Traces> {
  const [row] = await asked(
    sql<{ found: unknown }[]>`select monitoring.traces_to_export(${limit}) as found`,
    "read what is to be exported",
  );
  return traces.parse(row?.found);
}

/** The last run of each job that Sentry is to hear of, and how far the log was looked through where that is all. */
export async function readCheckIns(sql: postgres.Sql, limit: number): Promise<z.infer<typeof checkIns>> {
  const [row] = await asked(
    sql<{ found: unknown }[]>`select monitoring.check_ins_to_export(${limit}) as found`,
    "read what is to be exported",
  );
  return checkIns.parse(row?.found);
}

/** Notes what was taken last. Answers `false` where another exports by now. */
export async function moveExport(
  sql: postgres.Sql,
  exporter: Exporter,
  token: string,
  taken: { run: Cursor | null; incident: Cursor | null },
): Promise<boolean> {
  const [run, incident] = [taken.run, taken.incident].map((cursor) => cursor && JSON.stringify(cursor));
  const [row] = await asked(
    sql<{ moved: boolean }[]>`
      select monitoring.move_export(${exporter}, ${token}, ${run ?? null}::text::jsonb, ${
      incident ?? null
    }::text::jsonb) as moved`,
    "note what was exported",
  );
  return row?.moved === true;
}

/** The cursor before everything that is stamped with this moment. */
export function cursorBefore(at: string): Cursor {
  return { at, id: FIRST_ID };
}

async function asked<T>(query: Promise<T>, doing: string): Promise<T> {
  return await query.catch((error) => {
    throw hubError(error, doing);
  });
}
