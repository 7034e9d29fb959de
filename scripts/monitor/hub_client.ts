/** Reads and writes of the hub's tables: one lazy connection, every row checked, every error a sentence. */
import type postgres from "postgres";
import { z } from "zod";
import { openDatabase } from "../../supabase/functions/_shared/database.ts";
import type { ErrorCode } from "../../supabase/functions/_shared/errors.ts";
import { projectError } from "../../supabase/functions/_shared/sources/connect.ts";
import type { Connection } from "./connection.ts";
import { MonitorError } from "./errors.ts";

/** Longest wait for an answer, in milliseconds. */
const QUERY_TIMEOUT_MS = 30_000;

/** The hub's database. */
export interface Hub {
  /**
   * Runs a query and checks each row.
   *
   * @param doing for the error: `read the jobs`.
   * @throws {MonitorError} `unreachable`, `unauthorized`, `invalid_value` or `hub_failed`.
   */
  rows<T>(
    doing: string,
    row: z.ZodType<T>,
    query: (sql: postgres.Sql) => postgres.PendingQuery<postgres.Row[]>,
  ): Promise<T[]>;
  close(): Promise<void>;
}

/** A connection to the hub's database; nothing connects before the first query. */
export function openHubDatabase(connection: Connection): postgres.Sql {
  return openDatabase(connection.hubDatabaseUrl, {
    applicationName: "supabase-job-monitor command line",
    connectTimeoutSeconds: 10,
    caCert: connection.caCert,
    tls: "always",
  });
}

/** Opens the hub; nothing connects before the first query. */
export function openHub(connection: Connection): Hub {
  const sql = openHubDatabase(connection);
  return {
    rows: async (doing, row, query) => {
      let found: postgres.Row[];
      try {
        found = await inTime(query(sql));
      } catch (error) {
        throw hubError(connection, doing, error);
      }
      const parsed = z.array(row).safeParse(found);
      if (parsed.success) return parsed.data;
      const [issue] = parsed.error.issues;
      throw new MonitorError(
        "hub_failed",
        `Cannot ${doing}: unexpected value of ${issue?.path.at(-1)?.toString() ?? "a column"}`,
        { hints: ["Apply the migrations and use the command line of the same version"] },
      );
    },
    close: () => sql.end({ timeout: 2 }).catch(() => {}),
  };
}

async function inTime(query: postgres.PendingQuery<postgres.Row[]>): Promise<postgres.Row[]> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(Object.assign(new Error("no answer"), { code: "CONNECT_TIMEOUT" }));
    query.cancel();
  }, QUERY_TIMEOUT_MS);
  try {
    return await Promise.race([query, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

const APPLY = "apply the migrations: npx -y supabase@3 db push --remote";
/** Columns and functions that a hub lacks whose migrations are older than this command line. */
const LACKING: readonly string[] = ["42703", "42883"];

/** What each kind of error means for the hub. */
const REASONS: Partial<Record<ErrorCode, string>> = {
  connect_timeout: "no answer in time",
  unreachable: "connection refused or broken; is its Postgres running?",
  project_paused: "its host name does not resolve; is the project paused or deleted?",
  wrong_credentials: "user, password or database refused; update SUPABASE_DB_URL",
  pg_cron_missing: `the monitor's tables are missing; ${APPLY}`,
  no_privilege: "its role may not; use postgres in SUPABASE_DB_URL",
  read_timeout: "it took too long",
};

function hubError(connection: Connection, doing: string, error: unknown): MonitorError {
  const where = { origin: connection.origin.text };
  const violated = constraintOf(error);
  // constraints of the hub are named by sentences, for whoever breaks them
  if (violated !== null) return new MonitorError("invalid_value", `Cannot ${doing}: ${violated}`);
  const { code } = projectError("hub", error);
  const reason = untrusted(error) ?? REASONS[code] ?? sqlReason(error);
  if (code === "wrong_credentials") {
    return new MonitorError("unauthorized", `Cannot ${doing}: ${reason}`, where);
  }
  const kind = ["connect_timeout", "unreachable", "project_paused"].includes(code)
    ? "unreachable"
    : "hub_failed";
  return new MonitorError(kind, `Cannot ${doing} in the hub's database: ${reason}`, where);
}

const checkViolation = z.object({ code: z.literal("23514"), constraint_name: z.string() });

function constraintOf(error: unknown): string | null {
  return checkViolation.safeParse(error).data?.constraint_name ?? null;
}

function untrusted(error: unknown): string | null {
  const code = z.object({ code: z.string() }).safeParse(error).data?.code;
  if (code === "TLS_REFUSED") {
    return "it does not offer TLS; append ?sslmode=disable to SUPABASE_DB_URL to do without";
  }
  if (code !== "TLS_UNTRUSTED") return null;
  return "its certificate is not trusted; set POSTGRES_CA_CERT to Supabase's root certificate";
}

/** A five-character code of Postgres comes with a message that holds no secret; anything else stays unsaid. */
function sqlReason(error: unknown): string {
  const known =
    z.object({ code: z.string().regex(/^[0-9A-Z]{5}$/), message: z.string() }).safeParse(error).data;
  if (known === undefined) return "unexpected error";
  const remedy = LACKING.includes(known.code) ? `; the hub is older than this command line, ${APPLY}` : "";
  return `${known.message} (${known.code})${remedy}`;
}
