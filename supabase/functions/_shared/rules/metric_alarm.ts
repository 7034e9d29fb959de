/** From numbers to alarms: thresholds, how long they must be passed, and how far a number must come back. */
import type { MetricAlarm, MetricDefinition, MetricState } from "../domain/metric.ts";

const MINUTE_MS = 60_000;
/** Collections are some seconds early or late. */
const TOLERANCE_MS = 30_000;
/** After so many intervals without a number, nobody knows whether it held meanwhile. */
const GAP_INTERVALS = 3;
const LEAST_GAP_MS = 15 * MINUTE_MS;

/** What one number changes. */
export interface AlarmStep {
  /** By this number alone, a held alarm being over only past the hysteresis. */
  level: MetricAlarm;
  alarm: MetricAlarm;
  warningSince: number | null;
  criticalSince: number | null;
}

type Before = Pick<MetricState, "alarm" | "warningSince" | "criticalSince" | "recordedAt">;

/**
 * Judges a number. An alarm begins once its threshold has been reached or passed for `forMinutes`, and holds until the
 * number has come back past the threshold by `hysteresis`.
 *
 * @param measure The value, or how far it is from the usual one.
 */
export function stepAlarm(
  measure: number,
  definition: MetricDefinition,
  before: Before | null,
  now: number,
): AlarmStep {
  // larger is worse from here on
  const sign = definition.direction === "down" && definition.judgedBy === "value" ? -1 : 1;
  const held = before?.alarm ?? "none";
  const since = (threshold: number | null, holds: boolean, then: number | null): number | null => {
    if (threshold === null) return null;
    const beyond = sign * (measure - threshold);
    if (beyond >= 0 || (holds && beyond > -definition.hysteresis)) {
      return then !== null && (holds || !isGap(definition, before, now)) ? then : now;
    }
    return null;
  };
  const warningSince = since(definition.warning, held !== "none", before?.warningSince ?? null);
  const criticalSince = since(definition.critical, held === "critical", before?.criticalSince ?? null);
  const lasts = (start: number | null, holds: boolean) =>
    start !== null && (holds || now - start + TOLERANCE_MS >= definition.forMinutes * MINUTE_MS);
  return {
    level: criticalSince !== null ? "critical" : warningSince !== null ? "warning" : "none",
    alarm: lasts(criticalSince, held === "critical")
      ? "critical"
      : lasts(warningSince, held !== "none")
      ? "warning"
      : "none",
    warningSince,
    criticalSince,
  };
}

function isGap({ intervalMinutes }: MetricDefinition, before: Before | null, now: number): boolean {
  const longest = Math.max(LEAST_GAP_MS, GAP_INTERVALS * intervalMinutes * MINUTE_MS);
  return before !== null && now - before.recordedAt > longest;
}
