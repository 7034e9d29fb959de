/** Senders that are killed at every step, on a network that fails: every alert arrives. `bench/crashes.ts` is longer. */
import assert from "node:assert/strict";
import { playCrashes } from "../support/crash_world.ts";

Deno.test("whatever step its sender is killed at, every alert arrives, in order, and twice only for a reason", async () => {
  const report = await playCrashes({
    seed: 7,
    killsAStep: 1,
    channels: ["discord", "telegram", "resend", "twilio", "pagerduty"],
    faults: 0.3,
    refused: 0.05,
  });
  assert.deepEqual(report.lost, []);
  assert.deepEqual(report.violations, []);
  assert.equal(report.arrived + report.overtaken, report.owed);
  assert.ok(report.arrived > 10, `only ${report.arrived} alerts`);
});
