/** The rules watch simulated projects: no false word, nothing left untold. The longer run is `deno task bench:simulator`. */
import assert from "node:assert/strict";
import { INJECTION_KINDS } from "../simulator/injections.ts";
import { planOf } from "../simulator/plans.ts";
import { type Plan, type Score, simulate } from "../simulator/simulate.ts";
import { type Climate, ROUGH_YEAR } from "../simulator/weather.ts";

/** As much weather in some days as otherwise in many times as many. */
function stormy(plan: Plan, times: number): Plan {
  const rates = Object.entries(ROUGH_YEAR).map(([what, perYear]) => [what, perYear * times]);
  return { ...plan, climate: Object.fromEntries(rates) as unknown as Climate };
}

function sum(scores: readonly Score[], of: (score: Score) => number): number {
  return scores.reduce((total, score) => total + of(score), 0);
}

function events(scores: readonly Score[]): string[] {
  return [...new Set(scores.flatMap((score) => [...score.events.keys()]))].sort();
}

/** What has to have happened, or the worlds would prove little. */
const EVENTS = [
  "clock set far",
  "clock set right",
  "crash of the server",
  "cron.log_run off",
  "drift told",
  "edit: copy",
  "edit: pause",
  "edit: rename",
  "edit: reschedule",
  "edit: unschedule",
  "every place taken",
  "launcher died and came back",
  "launcher gone: crash loop",
  "launcher gone: not loaded",
  "nobody can connect",
  "purge of all but the newest of each job",
  "purge of old rows",
  "purge of successes",
  "restart in order",
  "restore of a backup",
  "run queued behind the one before",
  "run started late",
  "settings hidden",
  "stall of the launcher",
];

Deno.test("in simulated projects no alarm and no recovery is false, and every fault is told at the first look that can see it", () => {
  const plans = [
    ...[8, 3, 12].map((seed) => stormy(planOf("month", seed, 3), 8)),
    ...[1, 10, 27].map((seed) => ({ ...planOf("year", seed, 80), lookEvery: 30 })),
  ];
  const scores = plans.map(simulate);
  assert.deepEqual(
    scores.flatMap(({ seed, findings }) => findings.map(({ what }) => `${seed}: ${what}`)),
    [],
  );
  for (const kind of INJECTION_KINDS) {
    const found = sum(scores, ({ faults }) => faults.filter((one) => one.kind === kind).length);
    assert.ok(found >= (kind === "overrun" ? 1 : 4), `${found} faults of the kind "${kind}"`);
  }
  const happened = events(scores);
  assert.deepEqual(EVENTS.filter((what) => !happened.includes(what)), []);
  assert.ok(sum(scores, ({ clockChanges }) => clockChanges) >= 2, "changes of the wall clock");
});
