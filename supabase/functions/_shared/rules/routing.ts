/** Which rows of `alert_config` an alert goes to. */
import type { AlertRoute } from "../domain/delivery.ts";
import type { Severity } from "../domain/job.ts";

/** Severities, worst first. */
export const SEVERITY_ORDER: readonly Severity[] = ["critical", "important", "low", "info"];

/** The worst of some severities; `info` when there are none. */
export function worstSeverity(severities: readonly Severity[]): Severity {
  return SEVERITY_ORDER.find((severity) => severities.includes(severity)) ?? "info";
}

/** The enabled rows that take a severity: their own, or all of them. `info` is logged and reported, never sent. */
export function routeAlert<Row extends AlertRoute>(severity: Severity, configs: readonly Row[]): Row[] {
  if (severity === "info") return [];
  return configs.filter((row) => row.enabled && (row.criticality === "all" || row.criticality === severity));
}
