/** Asks a query that a person wrote: read-only, one statement, bounded in time, rows and size, and a failure of its own. */
import type postgres from "postgres";

/** A column of the answer. */
export interface QueryColumn {
  name: string;
  /** Oid of its type. */
  type: number;
}

/** What may be answered. */
export interface QueryTerms {
  /** Rows that are fetched at most. */
  rows: number;
  timeoutMs: number;
  /** Looks at the columns before anything runs, and answers what is wrong with them, or `null`. */
  fault(columns: readonly QueryColumn[]): string | null;
  /** Columns that are fetched as text, cut to this many characters; the others as they are. */
  text?: { characters: number; columns(columns: readonly QueryColumn[]): readonly number[] };
}

/** `lost`: the session is over, and nothing may be written to it any more: the driver would throw where nobody can catch. */
export type QueryAnswer =
  | { kind: "rows"; columns: QueryColumn[]; rows: unknown[][] }
  | { kind: "failed"; error: string }
  | { kind: "lost" };

/** Milliseconds that a query waits for a lock. */
const LOCK_TIMEOUT_MS = 3_000;

/** Keeps the driver from the simple protocol, which it takes for texts without parameters; its types lack the option. */
const ONE_STATEMENT = { simple: false } as postgres.UnsafeQueryOptions;

/**
 * Asks in a read-only transaction of its own. The extended protocol takes one statement only, so that nothing in the
 * text can end that transaction, and Postgres declares a cursor only for a query that writes nothing. Row security is
 * off, so that hidden rows are an error and not a smaller number.
 */
export async function askReadOnly(sql: postgres.Sql, query: string, terms: QueryTerms): Promise<QueryAnswer> {
  const answer = await ask(sql, query, terms).catch((error: unknown): QueryAnswer =>
    isSessionOver(error)
      ? { kind: "lost" }
      : { kind: "failed", error: error instanceof Error ? error.message : "it failed" }
  );
  if (answer.kind === "lost") return answer;
  return await sql.unsafe("rollback").then(() => answer, () => ({ kind: "lost" }));
}

async function ask(sql: postgres.Sql, query: string, terms: QueryTerms): Promise<QueryAnswer> {
  await sql.unsafe(
    `begin read only;
     set local statement_timeout = ${Math.max(1, Math.round(terms.timeoutMs))};
     set local lock_timeout = ${LOCK_TIMEOUT_MS};
     set local row_security = off`,
  );
  const { columns } = await sql.unsafe(query).describe();
  const fault = columns.length === 0 ? "it must be a query that answers rows" : terms.fault(columns);
  if (fault !== null) return { kind: "failed", error: fault };
  await sql.unsafe(
    `declare asked no scroll cursor for ${bounded(query, columns, terms.text)}`,
    [],
    ONE_STATEMENT,
  );
  const rows: unknown[][] = await sql.unsafe(`fetch ${terms.rows} from asked`).values();
  return { kind: "rows", columns, rows };
}

/** The same query with its texts cut, before they fill our memory. */
function bounded(query: string, columns: readonly QueryColumn[], text: QueryTerms["text"]): string {
  const cut = new Set(text?.columns(columns));
  if (text === undefined || cut.size === 0) return query;
  const names = columns.map((_, index) => `c${index}`);
  const picked = names.map((name, index) =>
    cut.has(index) ? `pg_catalog.left(${name}::text, ${text.characters})` : name
  );
  // it was read as one statement, so a semicolon can only be its end
  return `select ${picked.join(", ")} from (\n${query.replace(/[;\s]+$/, "")}\n) as q(${names.join(", ")})`;
}

/** Anything but an error that the server answered and lived on after: the session takes nothing more. */
export function isSessionOver(error: unknown): boolean {
  const severity = typeof error === "object" && error !== null && "severity" in error ? error.severity : null;
  return severity !== "ERROR";
}
