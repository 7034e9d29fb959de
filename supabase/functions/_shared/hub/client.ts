/** The connection to our own database. */
import postgres from "postgres";
import { AppError } from "../errors.ts";

/** Opens the hub. Call `end()` when the request is over: an edge function may be evicted at any time after. */
export function openHub(databaseUrl: string): postgres.Sql {
  return postgres(databaseUrl, {
    max: 1,
    prepare: false,
    fetch_types: false,
    connect_timeout: 10,
    max_lifetime: null,
    onnotice: () => {},
    connection: { application_name: "supabase-job-monitor hub", statement_timeout: 30_000 },
  });
}

/** SQLSTATEs that mean "somebody else was faster: read again". */
const CONFLICTS = new Set(["40001", "40P01", "23505"]);

/** What an error of the driver or of the hub's Postgres means. Idempotent for an {@link AppError}. */
export function hubError(error: unknown, doing: string): AppError {
  if (error instanceof AppError) return error;
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  if (CONFLICTS.has(code)) {
    return new AppError("conflict", `Cannot ${doing}: another call recorded meanwhile`, {
      cause: error,
      retryable: true,
    });
  }
  if (/^[0-9A-Z]{5}$/.test(code) && !code.startsWith("08") && !code.startsWith("57P")) {
    const text = error instanceof Error ? error.message : "";
    return new AppError("hub_failed", `Cannot ${doing}: the hub's database answered ${code} (${text})`, {
      cause: error,
    });
  }
  return new AppError("hub_unreachable", `Cannot ${doing}: the hub's database does not answer`, {
    cause: error,
    retryable: true,
  });
}
