/** When a delivery that did not get through is tried again. */

/** First wait, in milliseconds; it doubles with each attempt. */
const FIRST_WAIT_MS = 30_000;
/** No wait is longer, whatever the vendor asks for: an alert an hour late is late enough. */
const LONGEST_WAIT_MS = 3_600_000;

/**
 * Milliseconds to wait after the `attempts`-th attempt: 30 s, 1 min, 2 min … up to 1 h, a fifth more or less at random
 * (`random` answers 0 to 1), and never less than the vendor asked for, up to that hour.
 */
export function nextAttempt(attempts: number, retryAfterMs: number | null, random: () => number): number {
  const doubled = FIRST_WAIT_MS * 2 ** Math.min(Math.max(attempts, 1) - 1, 20);
  const jittered = Math.min(doubled, LONGEST_WAIT_MS) * (0.8 + 0.4 * random());
  return Math.round(Math.min(Math.max(jittered, retryAfterMs ?? 0), LONGEST_WAIT_MS));
}
