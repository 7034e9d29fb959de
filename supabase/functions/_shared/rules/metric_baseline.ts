/** How unusual a number is against the same hour of its own weeks. */
import type { MetricDefinition } from "../domain/metric.ts";
import { median } from "./percentile.ts";

/** With fewer weeks than this nobody can say what is usual. */
export const LEAST_WEEKS = 4;

/** Median deviation of a normal distribution in standard deviations. */
const DEVIATIONS = 1.4826;
/** A series that hardly ever moves is allowed to move by this share of itself. */
const LEAST_SHARE = 0.05;

/** What was usual, and how far from it the value is. */
export interface Comparison {
  usual: number;
  weeks: number;
  /** Times farther from the usual value than usual, in the direction that is worse: 0 or more for `both`. */
  distance: number;
}

/**
 * Compares a value with the medians of earlier weeks at this hour, by median and median deviation: one odd week among
 * them, such as an incident or a holiday, moves neither. `null`: there are too few weeks.
 */
export function compareWithWeeks(
  value: number,
  weeks: readonly number[],
  { direction, leastDifference }: Pick<MetricDefinition, "direction" | "leastDifference">,
): Comparison | null {
  const usual = median(weeks);
  if (usual === null || weeks.length < LEAST_WEEKS) return null;
  const deviation = median(weeks.map((week) => Math.abs(week - usual))) ?? 0;
  const spread = Math.max(deviation * DEVIATIONS, Math.abs(usual) * LEAST_SHARE);
  const difference = value - usual;
  const oriented = direction === "both"
    ? Math.abs(difference)
    : direction === "up"
    ? difference
    : -difference;
  const near = difference === 0 || Math.abs(difference) < leastDifference;
  // where nothing ever moved, any move is as far as can be
  const distance = near ? 0 : spread === 0 ? Math.sign(oriented) * Number.MAX_VALUE : oriented / spread;
  return { usual, weeks: weeks.length, distance };
}
