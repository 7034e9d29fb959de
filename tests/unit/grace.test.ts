/** Grace: how late a run may start. */
import assert from "node:assert/strict";
import { graceMinutes } from "../../supabase/functions/_shared/rules/grace.ts";

const cases: [string, number | null, number | null, number][] = [
  ["is half the interval", 5, null, 2.5],
  ["is 30 minutes for an hourly job", 60, null, 30],
  ["is at least 2.5 minutes for a minutely job", 1, null, 2.5],
  ["is at least 2.5 minutes for a job of seconds", 10 / 60, null, 2.5],
  ["is at most 60 minutes for a daily job", 1440, null, 60],
  ["is 60 minutes where there is no interval", null, null, 60],
  ["is what a person wrote, also below the least", 60, 1, 1],
  ["is what a person wrote, also above the most", 60, 600, 600],
];

for (const [behaviour, intervalMinutes, annotatedMinutes, expected] of cases) {
  Deno.test(`graceMinutes() ${behaviour}`, () => {
    assert.equal(graceMinutes({ intervalMinutes, annotatedMinutes }), expected);
  });
}
