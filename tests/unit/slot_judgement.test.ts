import assert from "node:assert/strict";
import { judgeSlots, type RunSpan } from "../../supabase/functions/_shared/rules/slot_judgement.ts";
import { at, MINUTE } from "../support/facts.ts";

const GRACE = 2.5 * MINUTE;

function span(start: string | null, end: string | null = start, open = false): RunSpan {
  return { startedAt: start === null ? null : at(start), endedAt: end === null ? null : at(end), open };
}

function minutes(from: string, count: number): number[] {
  return Array.from({ length: count }, (_, index) => at(from) + index * MINUTE);
}

Deno.test("a slot with a run that started a second later is met", () => {
  const judged = judgeSlots([at("10:00")], [span("10:00:01", "10:00:02")], GRACE, at("10:01"));
  assert.deepEqual(judged, { missed: [], lastDecided: at("10:00"), judgedUntil: at("10:01") });
});

Deno.test("a run that seems to start just before its slot, by an adjusted clock, meets it", () => {
  assert.deepEqual(judgeSlots([at("10:00")], [span("09:59:57")], GRACE, at("10:10")).missed, []);
});

Deno.test("a slot within its grace is left to the next check", () => {
  const judged = judgeSlots([at("10:00")], [], GRACE, at("10:02"));
  assert.deepEqual(judged, { missed: [], lastDecided: null, judgedUntil: at("10:00") - 1 });
});

Deno.test("a slot past its grace without a run is missed", () => {
  assert.deepEqual(judgeSlots([at("10:00")], [], GRACE, at("10:03")).missed, [at("10:00")]);
});

Deno.test("one missing minute among many is found although its neighbours are within grace", () => {
  const runs = minutes("10:00", 10).filter((slot) => slot !== at("10:04")).map((startedAt) => ({
    startedAt,
    endedAt: startedAt + 500,
    open: false,
  }));
  assert.deepEqual(judgeSlots(minutes("10:00", 10), runs, GRACE, at("10:30")).missed, [at("10:04")]);
});

Deno.test("slots that came while a long run was in progress are queued by pg_cron, not missed", () => {
  const runs = [span("10:00", "10:04:30"), span("10:04:31", "10:04:40"), span("10:05", "10:05:01")];
  assert.deepEqual(judgeSlots(minutes("10:00", 6), runs, GRACE, at("10:30")).missed, []);
});

Deno.test("slots during a run that is still open are not missed", () => {
  assert.deepEqual(
    judgeSlots(minutes("10:00", 30), [span("10:00", null, true)], GRACE, at("10:40")).missed,
    [],
  );
});

Deno.test("a run that a restart cut off without an end covers only its own slot", () => {
  const judged = judgeSlots(minutes("10:00", 3), [span("10:00", null)], GRACE, at("10:30"));
  assert.deepEqual(judged.missed, [at("10:01"), at("10:02")]);
});

Deno.test("a failure that was logged without a start time stands for one slot", () => {
  assert.deepEqual(judgeSlots(minutes("10:00", 2), [span(null, "10:00")], GRACE, at("10:30")).missed, [
    at("10:01"),
  ]);
});

Deno.test("an hourly run that started seven minutes late is not missed", () => {
  assert.deepEqual(judgeSlots([at("10:00")], [span("10:07", "10:08")], 30 * MINUTE, at("10:40")).missed, []);
});

Deno.test("judging stops at the first undecided slot so that none is judged twice", () => {
  const judged = judgeSlots([at("10:00"), at("10:05")], [span("10:05")], 10 * MINUTE, at("10:06"));
  assert.equal(judged.judgedUntil, at("10:00") - 1);
});
