/** A panel's result, and what its type needs of it. */
import type postgres from "postgres";
import type { Dashboard, Panel } from "./dashboards.ts";
import { expandQuery, intervalOf } from "./expand.ts";

/** What Grafana makes of a column. */
export type FieldType = "time" | "number" | "string" | "boolean";

/** Rows of one query. */
export interface Result {
  fields: { name: string; type: FieldType }[];
  rows: unknown[][];
}

/** Postgres' types, by oid. */
const FIELD_TYPES: Readonly<Record<number, FieldType>> = {
  16: "boolean",
  20: "number",
  21: "number",
  23: "number",
  700: "number",
  701: "number",
  1700: "number",
  1082: "time",
  1114: "time",
  1184: "time",
};

/** Reads the values of a dashboard's variables, all of them chosen, each query seeing what was read before. */
export async function readVariables(
  sql: postgres.Sql,
  dashboard: Dashboard,
  period: { from: Date; to: Date },
): Promise<Record<string, string[]>> {
  const variables: Record<string, string[]> = {};
  for (const { name, query } of dashboard.templating.list) {
    const rows = await sql.unsafe(expandQuery(query, { ...period, interval: "1m", variables })).values();
    variables[name] = rows.map(([value]) => String(value));
  }
  return variables;
}

/** Runs a panel's query as Grafana would. */
export async function readPanel(
  sql: postgres.Sql,
  panel: Panel,
  period: { from: Date; to: Date },
  variables: Record<string, string[]>,
): Promise<Result> {
  const view = { ...period, interval: intervalOf(period, panel.interval, panel.maxDataPoints), variables };
  const query = panel.targets[0]?.rawSql ?? "";
  const rows = await sql.unsafe(expandQuery(query, view)).values();
  const fields = rows.columns.map(({ name, type }) => ({
    name,
    // in a time series Grafana reads numbers in this column as seconds of the epoch
    type: name === "time" ? "time" as const : FIELD_TYPES[type] ?? "string",
  }));
  return { fields, rows: rows.map((row) => fields.map((field, index) => plain(row[index], field.type))) };
}

function plain(value: unknown, type: FieldType): unknown {
  if (value === null || value === undefined) return null;
  if (type === "number") return Number(value);
  if (type !== "time") return value;
  return value instanceof Date ? value : new Date(Number(value) * 1000);
}

/** What a panel's type lacks in its result, one sentence each. */
export function lacks(panel: Panel, { fields, rows }: Result): string[] {
  const count = (type: FieldType) => fields.filter((field) => field.type === type).length;
  const faults: string[] = [];
  const need = (ok: boolean, what: string) => void (ok || faults.push(what));
  need(rows.length > 0, "no row");
  if (["timeseries", "heatmap", "status-history"].includes(panel.type)) {
    need(panel.targets[0]?.format === "time_series", "not a time series");
    need(fields[0]?.name === "time" && count("time") === 1, 'no single column "time" in front');
    need(fields.every(({ name, type }) => type !== "string" || name === "metric"), "text that is no metric");
    need(isAscending(rows.map(([time]) => time)), "not in the order of time");
    need(
      panel.type === "heatmap" ? count("number") > 1 && count("string") === 0 : count("number") > 0,
      "no numbers",
    );
  } else {
    need(panel.targets[0]?.format === "table", "not a table");
  }
  if (panel.type === "stat" || panel.type === "gauge") {
    need(rows.length === 1 && fields.length === 1 && count("number") === 1, "not one number");
    need(rows[0]?.[0] !== null, "no number");
  }
  if (panel.type === "piechart" || panel.type === "barchart") {
    need(
      fields[0]?.type === "string" && count("number") === fields.length - 1,
      "not names and their numbers",
    );
    need(panel.type === "barchart" || fields.length === 2, "more than one number a name");
  }
  return faults;
}

function isAscending(times: readonly unknown[]): boolean {
  return times.every((time, index) => index === 0 || Number(time) >= Number(times[index - 1]));
}

/** The lines of a time series: one of each metric, or of each column of numbers. */
export function seriesOf(
  { fields, rows }: Result,
): { name: string; points: { at: Date; value: number | null }[] }[] {
  const metric = fields.findIndex(({ name }) => name === "metric");
  const lines = new Map<string, { at: Date; value: number | null }[]>();
  for (const row of rows) {
    for (const [index, field] of fields.entries()) {
      if (field.type !== "number") continue;
      const name = metric < 0 ? field.name : String(row[metric]);
      const points = lines.get(name) ?? [];
      points.push({ at: row[0] as Date, value: row[index] as number | null });
      lines.set(name, points);
    }
  }
  return [...lines].map(([name, points]) => ({ name, points }));
}
