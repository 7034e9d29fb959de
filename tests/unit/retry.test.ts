/** When a delivery is tried again. */
import assert from "node:assert/strict";
import { nextAttempt } from "../../supabase/functions/_shared/rules/retry.ts";

const MIDDLE = () => 0.5;
const HOUR = 3_600_000;

Deno.test("nextAttempt() doubles from 30 seconds up to an hour", () => {
  assert.deepEqual([1, 2, 3, 4, 7, 8, 100].map((attempts) => nextAttempt(attempts, null, MIDDLE)), [
    30_000,
    60_000,
    120_000,
    240_000,
    1_920_000,
    HOUR,
    HOUR,
  ]);
});

Deno.test("nextAttempt() varies by a fifth, and never beyond the hour", () => {
  assert.equal(nextAttempt(1, null, () => 0), 24_000);
  assert.equal(nextAttempt(1, null, () => 1), 36_000);
  assert.equal(nextAttempt(50, null, () => 1), HOUR);
});

Deno.test("nextAttempt() never comes before the vendor asked for, up to an hour", () => {
  assert.equal(nextAttempt(1, 90_000, MIDDLE), 90_000);
  assert.equal(nextAttempt(1, 500, MIDDLE), 30_000);
  assert.equal(nextAttempt(1, 24 * HOUR, MIDDLE), HOUR);
});

Deno.test("nextAttempt() takes a count that makes no sense for the first", () => {
  assert.equal(nextAttempt(0, null, MIDDLE), 30_000);
});
