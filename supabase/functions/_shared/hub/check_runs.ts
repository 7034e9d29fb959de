/** The log of our own invocations: the age of the last complete check is read from here. */
import type postgres from "postgres";
import { describeError } from "../errors.ts";
import { type HubAddress, hubError, openHub } from "./client.ts";

/** How an invocation ended. `complete`: every project was seen. `partial`: some were. `failed`: none. */
export interface CheckRunEnd {
  status: "complete" | "partial" | "failed";
  counts: Record<string, number>;
  error: string | null;
}

/** An invocation as it begins. */
export interface CheckRunBegin {
  hub: HubAddress;
  functionName: string;
  source: string;
  requestId: string;
  /** `false` for a dry run, which writes nothing. */
  noted: boolean;
}

/**
 * Opens the hub, notes that a function began, lets it work, notes how it ended, and closes the hub.
 *
 * @param ending What to note of the function's result.
 * @throws what the work threw, after it was noted; {@link AppError} `hub_unreachable` or `hub_failed`.
 */
export async function withCheckRun<T>(
  begin: CheckRunBegin,
  work: (sql: postgres.Sql) => Promise<T>,
  ending: (result: T) => CheckRunEnd,
): Promise<T> {
  const sql = openHub(begin.hub);
  try {
    if (!begin.noted) return await work(sql);
    const id = await beginCheckRun(sql, begin);
    const result = await work(sql).catch(async (error) => {
      // what went wrong matters more than that it could not be noted either
      await endCheckRun(sql, id, { status: "failed", counts: {}, error: describeError(error).message }).catch(
        () => {},
      );
      throw error;
    });
    await endCheckRun(sql, id, ending(result));
    return result;
  } finally {
    await sql.end({ timeout: 2 }).catch(() => {});
  }
}

async function beginCheckRun(sql: postgres.Sql, begin: CheckRunBegin): Promise<string> {
  try {
    const [row] = await sql<{ id: string }[]>`
      insert into public.check_runs (function_name, source, request_id)
      values (${begin.functionName}, ${begin.source}, ${begin.requestId}) returning id`;
    return row?.id ?? "";
  } catch (error) {
    throw hubError(error, `note the beginning of ${begin.functionName}`);
  }
}

async function endCheckRun(sql: postgres.Sql, id: string, end: CheckRunEnd): Promise<void> {
  try {
    await sql`
      update public.check_runs
      set ended_at = clock_timestamp(), status = ${end.status}, counts = ${
      JSON.stringify(end.counts)
    }::text::jsonb,
          error = ${end.error}
      where id = ${id}`;
  } catch (error) {
    throw hubError(error, "note the end of a check");
  }
}
