/** How late a run may start before its slot is missed. */

/** What grace depends on. */
export interface GraceQuestion {
  /** Usual gap between two slots; `null` where there is none. */
  intervalMinutes: number | null;
  /** `job_inventory.grace_minutes`: what a person wrote; wins. */
  annotatedMinutes: number | null;
}

/** A minutely job is not late after 30 seconds. */
const leastMinutes = 2.5;

/** A daily job is missed after 25 hours, not after 36. */
const mostMinutes = 60;

/** Grace in minutes: half the interval, at least 2.5 and at most 60; an annotation overrides. */
export function graceMinutes({ intervalMinutes, annotatedMinutes }: GraceQuestion): number {
  if (annotatedMinutes !== null) return annotatedMinutes;
  if (intervalMinutes === null) return mostMinutes;
  return Math.min(Math.max(intervalMinutes / 2, leastMinutes), mostMinutes);
}
