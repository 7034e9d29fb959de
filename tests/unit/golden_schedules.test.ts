/** Golden schedules: what pg_cron's own parser and its own `ShouldRunTask` made of 420 texts. */
import assert from "node:assert/strict";
import { scheduleFires } from "../../scripts/explain_schedule.ts";

interface Golden {
  kind: string;
  seconds?: number;
  from?: number;
  horizon_minutes?: number;
  fires?: number[];
}

interface GoldenSchedule extends Golden {
  schedule: string;
  timezone: string;
  /** Where 1.6.4 differs from 1.6.5 and later. */
  pg_cron_1_6_4?: Golden;
}

const golden: GoldenSchedule[] = Deno.readTextFileSync(new URL("../data/schedules.jsonl", import.meta.url))
  .trim().split("\n").map((line) => JSON.parse(line));

function disagreements(version: string, expectedOf: (row: GoldenSchedule) => Golden): unknown[] {
  return golden.flatMap((row) => {
    const expected = expectedOf(row);
    const { error: _, ...answer } = scheduleFires({
      schedule: row.schedule,
      timezone: row.timezone,
      from: expected.from ?? 0,
      horizon_minutes: expected.horizon_minutes ?? 0,
      pg_cron: version,
    });
    const { kind, seconds, fires } = expected;
    const want = { kind, ...(seconds !== undefined && { seconds }), ...(fires && { fires }) };
    return JSON.stringify(answer) === JSON.stringify(want) ? [] : [{ row, want, answer }];
  });
}

Deno.test("scheduleFires() agrees with pg_cron 1.6.5 and later on all 420 golden schedules", () => {
  assert.equal(golden.length, 420);
  assert.deepEqual(disagreements("1.6.7", (row) => row), []);
});

Deno.test("scheduleFires() agrees with pg_cron 1.6.4 on all 420 golden schedules", () => {
  assert.deepEqual(disagreements("1.6.4", (row) => row.pg_cron_1_6_4 ?? row), []);
});

Deno.test("scheduleFires() reads version 1.6, all that extversion shows, as 1.6.4", () => {
  assert.deepEqual(disagreements("1.6", (row) => row.pg_cron_1_6_4 ?? row), []);
});

Deno.test("scheduleFires() says that it does not know a time zone", () => {
  const answer = scheduleFires({ schedule: "* * * * *", timezone: "Mars/Olympus", from: 0 });
  assert.deepEqual(answer, { kind: "cron", error: 'Unknown time zone "Mars/Olympus"' });
});

Deno.test("scheduleFires() defaults to 16 fires in GMT", () => {
  const { fires } = scheduleFires({ schedule: "0 0 * * *", from: 0 });
  assert.equal(fires?.length, 16);
  assert.equal(fires?.[0], 86_400);
});
