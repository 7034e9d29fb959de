/** Metrics in words: numbers with their units, series by name. */
import type { MetricDefinition, MetricLabels } from "../domain/metric.ts";
import { redact } from "./redact.ts";
import { cut, formatDuration, oneLine } from "./text.ts";

const LABEL_LIMIT = 120;
const BYTES = ["bytes", "kB", "MB", "GB", "TB", "PB"] as const;

/** `1,240 jobs`, `1.5 GB` (of 1024, as Postgres tells sizes), `4.2 %`, `12 min`, `$3.50`. */
export function formatMetric(value: number, unit: string | null): string {
  switch (unit) {
    case "bytes":
      return formatBytes(value);
    case "seconds":
      return Math.abs(value) < 60
        ? `${formatNumber(value)} s`
        : `${sign(value)}${formatDuration(Math.abs(value) * 1000)}`;
    case "percent":
      return `${formatNumber(value)} %`;
    case "USD":
      return `${sign(value)}$${fixed(Math.abs(value), 2)}`;
    default:
      return unit === null ? formatNumber(value) : `${formatNumber(value)} ${counted(value, oneLine(unit))}`;
  }
}

/** At most two decimals, or three digits of what is smaller than one or has no name any more: `1e+21`. */
export function formatNumber(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e15) return value.toExponential(2).replace(/\.?0+e/, "e");
  if (size > 0 && size < 1) return String(Number(value.toPrecision(3)));
  return value.toLocaleString("en-US", { maximumFractionDigits: size < 1000 ? 2 : 0 });
}

function formatBytes(value: number): string {
  const size = Math.abs(value);
  const power = size < 1024 ? 0 : Math.min(BYTES.length - 1, Math.floor(Math.log2(size) / 10));
  return `${formatNumber(Number((value / 1024 ** power).toFixed(1)))} ${BYTES[power]}`;
}

/** `1 job` of `jobs`. */
function counted(value: number, unit: string): string {
  return value === 1 ? unit.replace(/s$/, "") : unit;
}

function fixed(value: number, decimals: number): string {
  if (value >= 1e15) return formatNumber(value);
  return value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

function sign(value: number): string {
  return value < 0 ? "-" : "";
}

/** Labels fit to keep and to show: on one line, without secrets, cut. */
export function safeLabels(labels: MetricLabels): MetricLabels {
  return Object.fromEntries(
    Object.entries(labels).map(([name, value]) => [name, cut(oneLine(redact(value)), LABEL_LIMIT)]),
  );
}

/** The labels of a series as its key, `{model="small"}`: the same for the same labels in any order; empty for none. */
export function seriesKey(labels: MetricLabels): string {
  const parts = Object.keys(labels).sort().map((name) => `${name}=${JSON.stringify(labels[name])}`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

/** What people read: `dead_tuples (schema public, table orders)`. */
export function seriesName(name: string, labels: MetricLabels): string {
  const parts = Object.entries(labels).map(([label, value]) =>
    `${label} ${value === "" ? "(empty)" : value}`
  );
  return parts.length === 0 ? name : `${name} (${parts.join(", ")})`;
}

/** `warning from 100 jobs, critical from 1,000 jobs`; empty where there is neither. */
export function thresholdsInWords(
  { warning, critical, unit, direction, judgedBy }: Pick<
    MetricDefinition,
    "warning" | "critical" | "unit" | "direction" | "judgedBy"
  >,
): string {
  const from = (threshold: number) =>
    judgedBy === "own weeks"
      ? `${formatNumber(threshold)} times off`
      : `${formatMetric(threshold, unit)}${direction === "down" ? " down" : ""}`;
  return [
    ...(warning === null ? [] : [`warning from ${from(warning)}`]),
    ...(critical === null ? [] : [`critical from ${from(critical)}`]),
  ].join(", ");
}
