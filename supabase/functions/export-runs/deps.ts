/** What every exporter takes and answers. */
import type postgres from "postgres";
import type { Config } from "../_shared/config.ts";
import type { Log } from "../_shared/log.ts";

/** What an export needs of the world. */
export interface ExportDeps {
  sql: postgres.Sql;
  config: Pick<Config, "outgoingAllowedHosts" | "secrets" | "secret">;
  log: Log;
  fetch?: typeof fetch;
}

/** What an exporter did before it was done or could not go on. */
export interface Exported {
  sent: number;
  /** What was refused for good, and is not sent again. */
  refused: number;
  /** Why it could not go on; the rest is sent the next time. */
  error: string | null;
}
