/** A connection to a watched project: one, read-only, encrypted, closed at the end. */
import type postgres from "postgres";
import { openDatabase } from "../database.ts";
import { AppError, type ErrorCode } from "../errors.ts";
import type { WatchedProject } from "../domain/project.ts";

/** How to connect. */
export interface ConnectOptions {
  /** PEM of a CA to trust besides the public ones, or `null`. */
  caCert: string | null;
  /** Seconds to wait for a connection. */
  connectTimeoutSeconds: number;
}

/**
 * Opens a connection, uses it and closes it, whatever happens. A connect timeout is tried once more
 * (about 1 in 9,000 is normal); wrong credentials never, since quick retries trip the pooler's breaker
 * and would block every client of that project.
 *
 * @throws {AppError} naming the project and what to do; never the URL.
 */
export async function withProject<T>(
  project: WatchedProject,
  options: ConnectOptions,
  use: (sql: postgres.Sql) => Promise<T>,
): Promise<T> {
  for (let attempt = 1;; attempt++) {
    const sql = open(project, options);
    try {
      return await use(sql);
    } catch (error) {
      const fault = projectError(project.name, error);
      if (fault.code !== "connect_timeout" || attempt > 1) throw fault;
    } finally {
      await sql.end({ timeout: 2 }).catch(() => {});
    }
  }
}

function open(project: WatchedProject, options: ConnectOptions): postgres.Sql {
  return openDatabase(project.databaseUrl, {
    ...options,
    applicationName: "supabase-job-monitor",
    tls: "always",
  });
}

/** What an error of the driver or of Postgres means for a watched project. Idempotent for an {@link AppError}. */
export function projectError(project: string, error: unknown): AppError {
  if (error instanceof AppError) return error;
  const code = codeOf(error);
  const text = error instanceof Error ? error.message : "";
  const [kind, message] = explain(project, code, text);
  return new AppError(kind, message, {
    cause: error,
    retryable: ["unreachable", "connect_timeout", "read_timeout", "read_failed"].includes(kind),
  });
}

function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null) return "";
  const own = "code" in error && typeof error.code === "string" ? error.code : "";
  if (own !== "" || !("errors" in error) || !Array.isArray(error.errors)) return own;
  // every address of a host failed: node wraps the attempts
  return codeOf(error.errors[0]);
}

function explain(project: string, code: string, text: string): [ErrorCode, string] {
  const where = `project "${project}"`;
  switch (code) {
    case "CONNECT_TIMEOUT":
      return ["connect_timeout", `Cannot connect to ${where}: no answer in time`];
    case "ECONNREFUSED":
      return ["unreachable", `Cannot connect to ${where}: connection refused; is its Postgres running?`];
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return [
        "project_paused",
        `Cannot connect to ${where}: its host name does not resolve; is it paused or deleted?`,
      ];
    case "TLS_REFUSED":
      return ["unreachable", `Cannot connect to ${where}: its Postgres does not offer TLS`];
    case "TLS_UNTRUSTED":
      return [
        "unreachable",
        `Cannot connect to ${where}: its certificate is not trusted; set the secret POSTGRES_CA_CERT to Supabase's root certificate`,
      ];
    case "28P01":
    case "28000":
      return [
        "wrong_credentials",
        `Cannot log in to ${where}: user or password refused; update its Postgres URL`,
      ];
    case "3D000":
      return [
        "wrong_credentials",
        `Cannot log in to ${where}: the database in its Postgres URL does not exist`,
      ];
    case "53300":
      return ["unreachable", `Cannot connect to ${where}: it has no free connection`];
    case "57P03":
      return ["unreachable", `Cannot connect to ${where}: its Postgres is starting up or shutting down`];
    case "42P01":
    case "3F000":
      return [
        "pg_cron_missing",
        `Cannot read ${where}: it has no pg_cron; enable the extension, or stop watching it`,
      ];
    case "42501":
      return [
        "no_privilege",
        `Cannot read ${where}: the role in its Postgres URL may not see every job; use "postgres" or grant it`,
      ];
    case "57014":
      return ["read_timeout", `Cannot read ${where}: a query took too long`];
  }
  if (/tenant or user not found/i.test(text)) {
    return [
      "project_paused",
      `Cannot connect to ${where}: the pooler does not know it; is it paused or deleted?`,
    ];
  }
  if (
    code.startsWith("CONNECTION_") || code.startsWith("E") || code.startsWith("08") || code.startsWith("57P")
  ) {
    return ["unreachable", `Cannot reach ${where}: the connection broke (${code})`];
  }
  return ["read_failed", `Cannot read ${where}${code === "" ? "" : ` (${code})`}`];
}
