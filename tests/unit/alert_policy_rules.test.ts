/** The small rules that the alert policy stands on: quiet hours, silences, grouping. */
import assert from "node:assert/strict";
import { groupPieces, type Piece } from "../../supabase/functions/_shared/rules/grouping.ts";
import { quietUntil, wallClock } from "../../supabase/functions/_shared/rules/quiet_hours.ts";
import {
  activeSilences,
  matchesGlob,
  silencedUntil,
} from "../../supabase/functions/_shared/rules/silences.ts";
import { HOUR, MINUTE, NOON } from "../support/facts.ts";
import { policyIncident, silence } from "../support/policy.ts";

// --- quiet hours ---

function night(quietFrom: string, quietUntil: string, quietTimeZone = "Europe/Berlin") {
  return { quietFrom, quietUntil, quietTimeZone };
}

function until(row: ReturnType<typeof night>, now: string): string | null {
  const end = quietUntil(row, Date.parse(now));
  return end === null ? null : new Date(end).toISOString();
}

Deno.test("quietUntil() spans midnight in the row's zone, its beginning included and its end not", () => {
  const row = night("22:00", "07:00");
  assert.equal(until(row, "2026-11-21T20:59:59Z"), null);
  assert.equal(until(row, "2026-11-21T21:00:00Z"), "2026-11-22T06:00:00.000Z");
  assert.equal(until(row, "2026-11-22T05:59:59Z"), "2026-11-22T06:00:00.000Z");
  assert.equal(until(row, "2026-11-22T06:00:00Z"), null);
  assert.equal(until(night("12:00", "13:00", "UTC"), "2026-11-21T12:30:00Z"), "2026-11-21T13:00:00.000Z");
});

Deno.test("quietUntil() is null without quiet hours", () => {
  assert.equal(quietUntil({ quietFrom: null, quietUntil: null, quietTimeZone: "UTC" }, NOON), null);
});

Deno.test("quietUntil() ends at the wall clock's hour on the nights when clocks change", () => {
  const row = night("22:00", "07:00");
  // forward on 29 March: the night is an hour shorter
  assert.equal(until(row, "2026-03-28T21:00:00Z"), "2026-03-29T05:00:00.000Z");
  assert.equal(until(row, "2026-03-29T04:59:59Z"), "2026-03-29T05:00:00.000Z");
  assert.equal(until(row, "2026-03-29T05:00:00Z"), null);
  // back on 25 October: an hour longer
  assert.equal(until(row, "2026-10-24T20:00:00Z"), "2026-10-25T06:00:00.000Z");
  assert.equal(until(row, "2026-10-25T05:59:59Z"), "2026-10-25T06:00:00.000Z");
  assert.equal(until(row, "2026-10-25T06:00:00Z"), null);
});

Deno.test("quietUntil() ends where the clock jumps over its end, and begins where it jumps over its beginning", () => {
  assert.equal(until(night("22:00", "02:30"), "2026-03-29T00:59:00Z"), "2026-03-29T01:00:00.000Z");
  assert.equal(until(night("22:00", "02:30"), "2026-03-29T01:00:00Z"), null);
  assert.equal(until(night("02:30", "04:00"), "2026-03-29T00:59:00Z"), null);
  assert.equal(until(night("02:30", "04:00"), "2026-03-29T01:00:00Z"), "2026-03-29T02:00:00.000Z");
});

Deno.test("quietUntil() ends once where the clock shows its end twice", () => {
  const row = night("22:00", "02:30");
  assert.equal(until(row, "2026-10-25T00:29:00Z"), "2026-10-25T00:30:00.000Z");
  assert.equal(until(row, "2026-10-25T00:30:00Z"), null);
  assert.equal(until(row, "2026-10-25T01:15:00Z"), null, "the second 02:15");
});

Deno.test("quietUntil() knows zones of half hours and the other side of the date line", () => {
  assert.equal(
    until(night("22:00", "07:00", "Asia/Kolkata"), "2026-11-21T16:30:00Z"),
    "2026-11-22T01:30:00.000Z",
  );
  assert.equal(
    until(night("22:00", "07:00", "Pacific/Auckland"), "2026-11-21T09:00:00Z"),
    "2026-11-21T18:00:00.000Z",
  );
  assert.equal(
    wallClock(night("22:00", "07:00", "Asia/Kolkata"), Date.parse("2026-11-22T01:30:00Z")),
    "2026-11-22 07:00 Asia/Kolkata",
  );
});

// --- silences ---

Deno.test("a silence holds from its beginning until, and not at, its end", () => {
  const once = silence();
  assert.equal(silencedUntil(once, NOON - HOUR - 1), null);
  assert.equal(silencedUntil(once, NOON - HOUR), NOON + HOUR);
  assert.equal(silencedUntil(once, NOON + HOUR - 1), NOON + HOUR);
  assert.equal(silencedUntil(once, NOON + HOUR), null);
});

Deno.test("a silence on a schedule holds for its duration after each time", () => {
  const nightly = silence({ endsAt: null, schedule: "30 11 * * *", durationMinutes: 45, startsAt: 0 });
  assert.equal(silencedUntil(nightly, NOON - 30 * MINUTE - 1), null);
  assert.equal(silencedUntil(nightly, NOON - 30 * MINUTE), NOON + 15 * MINUTE);
  assert.equal(silencedUntil(nightly, NOON), NOON + 15 * MINUTE);
  assert.equal(silencedUntil(nightly, NOON + 15 * MINUTE), null);
  assert.equal(silencedUntil({ ...nightly, endsAt: NOON + MINUTE }, NOON), NOON + MINUTE);
});

Deno.test("a silence's schedule follows its time zone through changes of the clock", () => {
  const sundays = silence({
    endsAt: null,
    startsAt: 0,
    schedule: "0 4 * * 0",
    durationMinutes: 60,
    timeZone: "Europe/Berlin",
  });
  assert.equal(
    silencedUntil(sundays, Date.parse("2026-03-29T02:30:00Z")),
    Date.parse("2026-03-29T03:00:00Z"),
  );
  assert.equal(
    silencedUntil(sundays, Date.parse("2026-10-25T03:30:00Z")),
    Date.parse("2026-10-25T04:00:00Z"),
  );
  assert.equal(silencedUntil(sundays, Date.parse("2026-10-25T02:30:00Z")), null);
});

Deno.test("a silence covers its project's jobs by pattern; the project itself only by *", () => {
  const covers = (over: Parameters<typeof silence>[0], incident: Parameters<typeof policyIncident>[0] = {}) =>
    activeSilences([silence(over)], NOON).active.some((one) => one.covers(policyIncident(incident)));
  assert.ok(covers({ projectName: "smoothed", jobPattern: "sync_*" }));
  assert.ok(!covers({ projectName: "scraping" }));
  assert.ok(!covers({ jobPattern: "sync_" }));
  const project = { subjectKind: "project", jobName: null } as const;
  assert.ok(covers({ projectName: "smoothed" }, project));
  assert.ok(!covers({ jobPattern: "s*" }, project));
  assert.ok(!covers({}, { subjectKind: "channel", jobName: null }), "a dead channel is never silenced");
});

Deno.test("a silence that makes no sense is a fault and silences nothing", () => {
  const { active, faults } = activeSilences([
    silence({ id: "zone", schedule: "* * * * *", durationMinutes: 1, timeZone: "Mars/Olympus" }),
    silence({ id: "fields", schedule: "* * * * * *", durationMinutes: 1 }),
  ], NOON);
  assert.equal(active.length, 0);
  assert.equal(faults.length, 2);
});

Deno.test("matchesGlob() knows *, ? and their escapes, and takes everything else as it is", () => {
  const yes = [["*", ""], ["sync_?", "sync_a"], ["a.b", "a.b"], ["\\*", "*"], ["[x]+(y)", "[x]+(y)"], [
    "*é",
    "a\né",
  ], [
    "👩?",
    "👩x",
  ]] as const;
  const no = [["sync_?", "sync_"], ["a.b", "axb"], ["\\*", "x"], ["a", "A"], ["a", "ab"]] as const;
  for (const [pattern, name] of yes) assert.ok(matchesGlob(pattern, name), `${pattern} ${name}`);
  for (const [pattern, name] of no) assert.ok(!matchesGlob(pattern, name), `${pattern} ${name}`);
});

// --- grouping ---

let pieces = 0;

function piece(over: Partial<Piece> = {}, incidents = [policyIncident({ id: `i${++pieces}` })]): Piece {
  const id = `d${++pieces}`;
  return {
    event: "opened",
    note: null,
    createdAt: NOON,
    incidents,
    needs: [id],
    absorbed: [id],
    whileOpen: false,
    unacknowledged: false,
    ...over,
  };
}

/** One that shares project and condition with no other. */
function single(severity: "critical" | "important" = "important", createdAt = NOON): Piece {
  const id = `i${++pieces}`;
  return piece({ createdAt }, [policyIncident({ id, code: id, severity })]);
}

Deno.test("groupPieces() puts one project's and condition's news together, and no other", () => {
  const other = (
    over: Parameters<typeof policyIncident>[0],
  ) => [policyIncident({ id: `i${++pieces}`, ...over })];
  const { send } = groupPieces([
    piece(),
    piece(),
    piece({}, other({ code: "missed" })),
    piece({}, other({ projectName: "scraping" })),
    piece({ event: "reminder" }),
  ], 0);
  assert.deepEqual(send.map(({ incidents }) => incidents.length), [2, 1, 1, 1]);
});

Deno.test("groupPieces() puts ends together whatever it was", () => {
  const ends = ["failed", "missed", "flapping"].map((code) =>
    piece({ event: "resolved" }, [policyIncident({ id: code, code })])
  );
  assert.equal(groupPieces(ends, 0).send.length, 1);
});

Deno.test("a storm of 500 jobs in one check is three messages that name every one of them", () => {
  const incidents = Array.from(
    { length: 500 },
    (_, index) => policyIncident({ id: `s${index}`, jobName: `job_${index}`, projectName: `p${index % 12}` }),
  );
  const byProject = [...Map.groupBy(incidents, ({ projectName }) => projectName).values()];
  const { send, wait } = groupPieces(byProject.map((own) => piece({}, own)), 0);
  assert.equal(send.length, 3);
  assert.equal(wait.length, 0);
  assert.equal(new Set(send.flatMap((one) => one.incidents.map(({ id }) => id))).size, 500);
});

Deno.test("the breaker lets ten through, the gravest first, and makes one digest of the rest", () => {
  const many = [
    ...Array.from({ length: 20 }, (_, index) => single("important", NOON + index)),
    single("critical", NOON + 99),
  ];
  const { send, wait } = groupPieces(many, 0);
  assert.equal(send.length, 11);
  assert.equal(send[0]?.incidents[0]?.severity, "critical");
  assert.equal(send.at(-1)?.incidents.length, 11);
  assert.equal(wait.length, 0);
});

Deno.test("after its digest a row waits for room, but critical passes", () => {
  const { send, wait } = groupPieces([single(), single("critical"), single()], 11);
  assert.deepEqual(send.map(({ incidents }) => incidents.map(({ severity }) => severity)), [["critical"]]);
  assert.equal(wait.length, 2);
  assert.equal(groupPieces([single(), single(), single()], 8).send.length, 3);
});
