/** Percentiles as Postgres computes them. */

/**
 * The value that `fraction` (0 to 1) of the numbers lie at or below, interpolated between neighbours: what
 * `percentile_cont(fraction) within group (order by …)` answers. `null` without numbers.
 */
export function percentileCont(numbers: readonly number[], fraction: number): number | null {
  const sorted = numbers.toSorted((a, b) => a - b);
  const place = fraction * (sorted.length - 1);
  const below = sorted[Math.floor(place)];
  const above = sorted[Math.ceil(place)];
  if (below === undefined || above === undefined) return null;
  return below + (above - below) * (place - Math.floor(place));
}

/** The middle one; `null` without numbers. */
export function median(numbers: readonly number[]): number | null {
  return percentileCont(numbers, 0.5);
}
