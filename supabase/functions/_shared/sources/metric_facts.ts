/** Asks a project for its metrics: one connection, one query after the other, each bounded and a failure of its own. */
import type postgres from "postgres";
import { z } from "zod";
import type { MetricAnswer, MetricDefinition, MetricRow } from "../domain/metric.ts";
import type { WatchedProject } from "../domain/project.ts";
import { type ConnectOptions, withProject } from "./connect.ts";
import { askReadOnly, type QueryColumn } from "./read_only_query.ts";

/** Bounds of asking one project. */
export interface MetricLimits {
  /** Milliseconds for all of its metrics together; what is left over is asked first the next time. */
  budgetMs: number;
  /** Rows of one answer. */
  rows: number;
  /** Columns of one answer that are labels. */
  labels: number;
  /** Characters of a label that are read. */
  labelCharacters: number;
}

/** Within an edge function's 150 seconds, and few enough series to look at. */
export const DEFAULT_METRIC_LIMITS: MetricLimits = {
  budgetMs: 75_000,
  rows: 100,
  labels: 5,
  labelCharacters: 200,
};

/** Larger ones are no measurement, and an average squares them: Postgres would refuse it for every metric of a report. */
const LARGEST = 1e100;

/** int8, int2, int4, oid, float4, float8, numeric. */
const NUMBER_TYPES: ReadonlySet<number> = new Set([20, 21, 23, 26, 700, 701, 1700]);

/**
 * Asks for metrics in the given order and answers each of them, in that order.
 *
 * @param elapsedMs a clock for the budget.
 * @throws {AppError} `unreachable`, `wrong_credentials`, …, where nothing could be asked at all.
 */
export function readMetrics(
  project: WatchedProject,
  definitions: readonly MetricDefinition[],
  connect: ConnectOptions,
  limits: MetricLimits = DEFAULT_METRIC_LIMITS,
  elapsedMs: () => number = () => performance.now(),
): Promise<MetricAnswer[]> {
  return withProject(project, connect, async (sql) => {
    const began = elapsedMs();
    const missing = await missingRelations(sql, definitions);
    const answers: MetricAnswer[] = [];
    let stopped: string | null = null;
    for (const definition of definitions) {
      const absent = definition.needs.filter((name) => missing.has(name));
      if (absent.length > 0) {
        answers.push({ definition, kind: "not_applicable", missing: absent });
        continue;
      }
      const left = limits.budgetMs - (elapsedMs() - began);
      if (stopped === null && left <= 0) stopped = "the metrics before it took too long";
      if (stopped !== null) {
        answers.push({ definition, kind: "not_asked", why: stopped });
        continue;
      }
      const asked = elapsedMs();
      const { lost, ...answer } = await askMetric(sql, definition, left, limits);
      if (lost) stopped = `the connection was lost by metric "${definition.name}"`;
      answers.push({ definition, ...answer, tookMs: Math.round(elapsedMs() - asked) });
    }
    return answers;
  });
}

/** Which of the relations that definitions need do not exist; read from the catalog, which every role may. */
async function missingRelations(
  sql: postgres.Sql,
  definitions: readonly MetricDefinition[],
): Promise<Set<string>> {
  // also where none is needed: whether the project can be reached at all is known from here on
  const needed = [...new Set(definitions.flatMap(({ needs }) => needs))];
  const rows = await sql`
    select n.name
    from json_array_elements_text(${JSON.stringify(needed)}::text::json) as n(name)
    where not exists (
      select from pg_catalog.pg_class c
      join pg_catalog.pg_namespace s on s.oid = c.relnamespace
      where s.nspname || '.' || c.relname = n.name and c.relkind in ('r', 'p', 'v', 'm', 'f'))`;
  return new Set(z.array(z.object({ name: z.string() })).parse([...rows]).map(({ name }) => name));
}

type Asked =
  | { kind: "rows"; rows: MetricRow[]; labelled: boolean; lost: false }
  | { kind: "failed"; error: string; lost: boolean };

async function askMetric(
  sql: postgres.Sql,
  definition: MetricDefinition,
  leftMs: number,
  limits: MetricLimits,
): Promise<Asked> {
  const failed = (error: string): Asked => ({ kind: "failed", error, lost: false });
  const answer = await askReadOnly(sql, definition.query, {
    // one more shows that there are too many
    rows: limits.rows + 1,
    timeoutMs: Math.min(definition.timeoutSeconds * 1000, leftMs),
    fault: (columns) => columnFault(columns, limits),
    text: { characters: limits.labelCharacters, columns: (columns) => columns.slice(0, -1).map((_, i) => i) },
  });
  if (answer.kind === "lost") {
    return { kind: "failed", error: "the connection was lost while it was asked", lost: true };
  }
  if (answer.kind === "failed") return failed(answer.error);
  const { columns } = answer;
  if (answer.rows.length > limits.rows) {
    return failed(`it answers more than ${limits.rows} rows; group by fewer labels, or limit them`);
  }
  const rows = answer.rows.map((row) => rowOf(columns, row));
  const fault = rowsFault(rows, columns.length > 1);
  return fault === null ? { kind: "rows", rows, labelled: columns.length > 1, lost: false } : failed(fault);
}

function columnFault(columns: readonly QueryColumn[], limits: MetricLimits): string | null {
  const names = columns.slice(0, -1).map(({ name }) => name);
  const value = columns.at(-1);
  if (value === undefined || !NUMBER_TYPES.has(value.type)) {
    return `its last column ("${value?.name ?? ""}") must be a number`;
  }
  if (names.length > limits.labels) return `it has ${names.length} labels; ${limits.labels} are allowed`;
  const unnamed = names.find((name) => !/^[A-Za-z_]\w{0,62}$/.test(name));
  if (unnamed !== undefined) {
    return `its label column "${unnamed}" needs a name of letters, digits and _: … as name`;
  }
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  return twice === undefined ? null : `two of its label columns are named "${twice}"`;
}

function rowsFault(rows: readonly MetricRow[], labelled: boolean): string | null {
  if (!labelled && rows.length > 1) return "it answers more than one row, without a label to tell them apart";
  const odd = rows.find(({ value }) => value !== null && !Number.isFinite(value));
  if (odd !== undefined) return `it answers ${odd.value}, which is no number`;
  const huge = rows.find(({ value }) => value !== null && Math.abs(value) > LARGEST);
  if (huge !== undefined) return `it answers ${huge.value}; numbers may be as large as ${LARGEST}`;
  const seen = new Set<string>();
  for (const { labels } of rows) {
    const key = JSON.stringify(labels);
    if (seen.has(key)) return `two of its rows have the same labels: ${key}`;
    seen.add(key);
  }
  return null;
}

/** Large numbers come as text; a label that is NULL is an empty one. */
function rowOf(columns: readonly QueryColumn[], row: readonly unknown[]): MetricRow {
  const value = row.at(-1) ?? null;
  const labels = columns.slice(0, -1).map(({ name }, index) => [name, String(row[index] ?? "")] as const);
  return { labels: Object.fromEntries(labels), value: value === null ? null : Number(value) };
}
