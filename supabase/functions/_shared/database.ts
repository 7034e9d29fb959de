/** A Postgres connection as we make every one: single, unprepared (poolers), encrypted unless on this machine. */
import postgres from "postgres";
import { secureSocket } from "./secure_socket.ts";

/** How to connect. */
export interface DatabaseOptions {
  applicationName: string;
  connectTimeoutSeconds: number;
  /** PEM of a CA to trust besides the public ones, such as Supabase's. */
  caCert: string | null;
  /** What to do on a connection that leaves this machine: insist on TLS, or use it only where a CA was given. */
  tls: "always" | "with caCert";
  /** Milliseconds that a statement may take; unset: as the server has it. */
  statementTimeoutMs?: number;
}

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Opens a connection lazily: the first query connects. Call `end()` when done. */
export function openDatabase(databaseUrl: string, options: DatabaseOptions): postgres.Sql {
  const url = new URL(databaseUrl);
  const secure = wantsTls(url, options);
  // the driver's own TLS is never used, and it passes parameters that it does not know on to the server
  url.searchParams.delete("sslmode");
  const { host, port } = { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || 5432) };
  const timeoutMs = options.connectTimeoutSeconds * 1000;
  const timeout = options.statementTimeoutMs === undefined
    ? {}
    : { statement_timeout: options.statementTimeoutMs };
  return postgres(url.href, {
    max: 1,
    prepare: false,
    fetch_types: false,
    ssl: false,
    connect_timeout: options.connectTimeoutSeconds,
    max_lifetime: null,
    onnotice: () => {},
    connection: { application_name: options.applicationName, ...timeout },
    ...(secure ? { socket: () => secureSocket({ host, port, caCert: options.caCert, timeoutMs }) } : {}),
  } as postgres.Options<Record<string, never>>);
}

function wantsTls(url: URL, options: DatabaseOptions): boolean {
  const mode = url.searchParams.get("sslmode");
  if (mode !== null) return mode !== "disable";
  if (LOOPBACK.has(url.hostname)) return false;
  return options.tls === "always" || options.caCert !== null;
}
