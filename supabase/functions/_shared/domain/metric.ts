/** Metrics: numbers that projects are asked for, and what a number means. Instants are epoch milliseconds. */
import { z } from "zod";

/** What a number means. `unknown`: there is none, or nobody can say; never shown as fine. */
export const metricSeverity = z.enum(["ok", "warning", "critical", "unknown"]);
export type MetricSeverity = z.infer<typeof metricSeverity>;

/** What has held for long enough to alert and is not over. */
export const metricAlarm = z.enum(["none", "warning", "critical"]);
export type MetricAlarm = z.infer<typeof metricAlarm>;

const finite = z.number();

/** A row of `metric_definitions`: see the comments of its columns. */
export const metricDefinition = z.object({
  id: z.string(),
  name: z.string().regex(/^[a-z][a-z0-9_]{0,62}$/),
  /** `null`: every project. */
  projectName: z.string().nullable(),
  enabled: z.boolean(),
  description: z.string().nullable(),
  query: z.string().min(1),
  /** `schema.table` of relations without which it does not apply. */
  needs: z.array(z.string().regex(/^[^.]+\.[^.]+$/)),
  unit: z.string().nullable(),
  direction: z.enum(["up", "down", "both"]),
  judgedBy: z.enum(["value", "own weeks"]),
  /** Values, or times farther than usual. */
  warning: finite.nullable(),
  critical: finite.nullable(),
  hysteresis: finite.nonnegative(),
  leastDifference: finite.nonnegative(),
  forMinutes: z.number().int().nonnegative(),
  noData: metricSeverity,
  intervalMinutes: z.number().int().positive(),
  timeoutSeconds: z.number().positive(),
});
export type MetricDefinition = z.infer<typeof metricDefinition>;

/** Labels of a number, by the names of their columns. */
export type MetricLabels = Readonly<Record<string, string>>;

/** One row of an answer. */
export interface MetricRow {
  labels: MetricLabels;
  /** `null`: the query answered NULL. */
  value: number | null;
}

/** What came of asking one project for one metric. */
export type MetricAnswer =
  & { definition: MetricDefinition }
  & (
    /** `labelled`: its rows have labels, so that no row at all means that there is nothing to count. */
    | { kind: "rows"; rows: MetricRow[]; labelled: boolean; tookMs: number }
    | { kind: "failed"; error: string; tookMs: number }
    /** The project lacks what the definition needs. */
    | { kind: "not_applicable"; missing: string[] }
    | { kind: "not_asked"; why: string }
  );

/** How a metric's query went the last time, per project. */
export const metricCollection = z.object({
  definitionId: z.string(),
  projectName: z.string(),
  status: z.enum(["ok", "failed", "not_applicable", "not_asked"]),
  error: z.string().nullable(),
  /** Failed answers in a row. */
  failures: z.number().int(),
  failingSince: z.number().nullable(),
  askedAt: z.number().nullable(),
  tookMs: z.number().nullable(),
});
export type MetricCollection = z.infer<typeof metricCollection>;

/** The latest number of a series, and what the next one is judged by. */
export const metricState = z.object({
  definitionId: z.string(),
  /** Its labels as text; empty for a metric without. */
  series: z.string(),
  labels: z.record(z.string(), z.string()),
  value: z.number().nullable(),
  severity: metricSeverity,
  summary: z.string().nullable(),
  alarm: metricAlarm,
  /** Since when the value has been at or beyond the threshold. */
  warningSince: z.number().nullable(),
  criticalSince: z.number().nullable(),
  noDataSince: z.number().nullable(),
  recordedAt: z.number(),
});
export type MetricState = z.infer<typeof metricState>;

/** What a series was at this hour of earlier weeks: the median of each week that has any number. */
export const metricHistory = z.object({
  definitionId: z.string(),
  labels: z.record(z.string(), z.string()),
  weeks: z.array(z.number()),
});
export type MetricHistory = z.infer<typeof metricHistory>;

/** A number to keep. */
export interface MetricSample {
  metricName: string;
  labels: MetricLabels;
  value: number | null;
  severity: MetricSeverity;
}
