/** The connection to our own database. */
import type postgres from "postgres";
import { openDatabase } from "../database.ts";
import { AppError } from "../errors.ts";

/** Where the hub is. */
export interface HubAddress {
  databaseUrl: string;
  /** PEM of a CA; with it the connection is encrypted and verified also within Supabase's network. */
  caCert: string | null;
}

/** Opens the hub. Call `end()` when the request is over: an edge function may be evicted at any time after. */
export function openHub(hub: HubAddress): postgres.Sql {
  return openDatabase(hub.databaseUrl, {
    applicationName: "supabase-job-monitor hub",
    connectTimeoutSeconds: 10,
    caCert: hub.caCert,
    tls: "with caCert",
    statementTimeoutMs: 30_000,
  });
}

/** Opens the hub, uses it and closes it, whatever happens. */
export async function withHub<T>(hub: HubAddress, use: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = openHub(hub);
  try {
    return await use(sql);
  } finally {
    await sql.end({ timeout: 2 }).catch(() => {});
  }
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
  // "EPIPE" is the network's, and no SQLSTATE
  if (/^(?!EPIPE)[0-9A-Z]{5}$/.test(code) && !code.startsWith("08") && !code.startsWith("57P")) {
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
