/** Schedules: the grammar of each pg_cron, the instants at which it starts a job, and the words for both. */
import assert from "node:assert/strict";
import { Cron } from "croner";
import {
  describeSchedule,
  faultMessage,
  isTimeZone,
  nextSlot,
  parseSchedule,
  previousSlot,
  type Schedule,
  slotsBetween,
  typicalIntervalMinutes,
} from "../../supabase/functions/_shared/rules/schedule.ts";

const minuteMs = 60_000;
const dayMs = 1_440 * minuteMs;

function cron(text: string, pgCronVersion = "1.6.4") {
  const schedule = parseSchedule(text, { pgCronVersion });
  assert.equal(schedule.kind, "cron", `${text}: ${describeSchedule(schedule)}`);
  return schedule as Extract<Schedule, { kind: "cron" }>;
}

function warningCodes(text: string, pgCronVersion = "1.6.4"): string[] {
  return parseSchedule(text, { pgCronVersion }).warnings.map((warning) => warning.code);
}

/** ISO times to the minute. */
function slotTimes(text: string, timeZone: string, after: string, until: string): string[] {
  const { slots, fault } = slotsBetween(parseSchedule(text), {
    after: new Date(after),
    until: new Date(until),
    timeZone,
  });
  assert.equal(fault, null);
  return slots.map((slot) => new Date(slot).toISOString().slice(0, 16));
}

// ---- grammar

const faults: [string, number, string][] = [
  ["61 * * * *", 0, "minute must be 0 to 59"],
  ["* 24 * * *", 2, "hour must be 0 to 23"],
  ["0 0 32 * *", 4, 'day of month must be 1 to 31, or "$" alone for the last day'],
  ["0 0 * jann *", 6, "month must be 1 to 12 or jan to dec"],
  ["0 0 * * 1-8", 10, "day of week must be 0 to 7 or sun to sat"],
  ["5-64/30 * * * *", 2, "minute must be 0 to 59"],
  ["5,,6 * * * *", 2, "minute must be 0 to 59"],
  ["1/5 * * * *", 1, 'a step needs a range: write "1-59/5"'],
  ["*/0 * * * *", 2, "step of minute must be 1 or more"],
  ["0 0 $,1 * *", 5, '"$" must stand alone in day of month'],
  ["* * * *", 7, "day of week is missing: a schedule has five fields"],
  ["* *\n* * *", 3, "day of month is missing: a schedule has five fields"],
  ["  \t ", 0, "schedule is empty"],
  ["# a comment alone", 0, "schedule is empty"],
  ["@Hourly", 0, 'nicknames are lower case: write "@hourly"'],
  ["60 seconds", 0, "interval must be 1 to 59 seconds"],
  ["5 second ", 8, 'nothing may follow "second"'],
  ["5 minutes", 2, 'an interval is "1 second" to "59 seconds": write five fields for anything else'],
  [`* * * * ${"0".repeat(992)}`, 999, "schedule must be at most 999 bytes long"],
];

for (const [text, at, reason] of faults) {
  Deno.test(`parseSchedule() locates the fault of ${JSON.stringify(text.slice(0, 30))}`, () => {
    assert.deepEqual(parseSchedule(text), { kind: "invalid", at, reason, warnings: [] });
  });
}

Deno.test("faultMessage() names the schedule, the reason and the place, and cuts a long text", () => {
  const schedule = parseSchedule("61 * * * *");
  assert.ok(schedule.kind === "invalid");
  const message = 'Cannot parse schedule "61 * * * *": minute must be 0 to 59 (at position 1)';
  assert.equal(faultMessage("61 * * * *", schedule), message);
  assert.ok(faultMessage("61 ".repeat(500), schedule).length < 200);
});

Deno.test("parseSchedule() reads names in any case, 7 as Sunday, and skips blank lines and comments before", () => {
  const schedule = cron("# nightly\n\n \t30  3 * JAN,dec sun-Tue,7");
  assert.deepEqual([schedule.minutes, schedule.hours, schedule.months], [[30], [3], [1, 12]]);
  assert.deepEqual(schedule.daysOfWeek, [0, 1, 2]);
});

Deno.test("parseSchedule() fills a reversed range by the byte, as pg_cron's bit strings do", () => {
  assert.deepEqual(cron("0 22-3 * * *").hours, [0, 1, 2, 3, 22, 23]);
  assert.deepEqual(cron("0 10-3 * * *").hours, [0, 1, 2, 3, 10, 11, 12, 13, 14, 15]);
  assert.deepEqual(cron("0 0 20-5 * *").daysOfMonth, [1, 2, 3, 4, 5, 20, 21, 22, 23, 24]);
  assert.deepEqual(cron("0 0 1 nov-feb *").months, [1, 2, 11, 12]);
  assert.deepEqual(cron("0 0 1 * fri-mon").daysOfWeek, []);
  assert.deepEqual(cron("0,50-10/2 * * * *").minutes, [0]);
});

Deno.test("parseSchedule() wraps numbers as C does: 2^32 + 5 is minute 5", () => {
  assert.deepEqual(cron("4294967301 * * * *").minutes, [5]);
  assert.equal(parseSchedule("99999999999999999999 * * * *").kind, "invalid");
  assert.deepEqual(parseSchedule("-4294967291 seconds"), { kind: "interval", seconds: 5, warnings: [] });
});

Deno.test("parseSchedule() reads seconds in any case, with any blanks, and nothing after them", () => {
  for (const text of ["30 seconds", " 30\tSECONDS \n", "+30second", "030 Seconds"]) {
    assert.deepEqual(parseSchedule(text), { kind: "interval", seconds: 30, warnings: [] }, text);
  }
  for (const text of ["0 seconds", "60 second", "30 seconds x", "30 sec", "3O seconds", "30 secondss"]) {
    assert.equal(parseSchedule(text).kind, "invalid", text);
  }
});

Deno.test("parseSchedule() knows what each version of pg_cron knows", () => {
  const kinds = (text: string) =>
    ["1.4-1", "1.4.2", "1.5", "1.6", "1.6.4", "1.6.5", "1.7"].map((pgCronVersion) =>
      parseSchedule(text, { pgCronVersion }).kind
    );
  const [no, yes] = ["invalid", "cron"];
  assert.deepEqual(kinds("0 0 $ * *"), [no, no, no, yes, yes, yes, yes]);
  assert.deepEqual(kinds("*/60 * * * *"), [yes, yes, yes, yes, yes, no, no]);
  assert.deepEqual(kinds("0 0 * */12 *"), Array(7).fill(yes));
  assert.deepEqual(kinds("5 seconds"), [no, no, ...Array(5).fill("interval")]);
  assert.deepEqual(kinds("@reboot"), Array(7).fill("reboot"));
  assert.deepEqual(cron("0 22-3 * * *", "1.5").hours, []);
  assert.deepEqual(cron("@yearly", "1.4.2").months, [1]);
  assert.deepEqual(cron("@yearly", "1.6").months, []);
});

Deno.test("parseSchedule() takes a version that it cannot read for 1.6.4", () => {
  assert.deepEqual(
    parseSchedule("*/60 * * * *", { pgCronVersion: "unknown" }),
    parseSchedule("*/60 * * * *"),
  );
});

Deno.test("parseSchedule() warns of what pg_cron accepts and a person did not mean", () => {
  const messages = (text: string, version?: string) =>
    parseSchedule(text, version ? { pgCronVersion: version } : {}).warnings.map((
      { code, message },
    ) => [code, message]);
  assert.deepEqual(messages("* * * * * 30"), [[
    "ignored_text",
    'pg_cron ignores "30" after the fifth field',
  ]]);
  assert.deepEqual(messages("*5 * * * mon#2"), [
    ["ignored_text", 'pg_cron ignores "5" in minute'],
    ["ignored_text", 'pg_cron ignores "#2" in day of week'],
  ]);
  assert.deepEqual(messages("@daily please"), [["ignored_text", 'pg_cron ignores "please" after @daily']]);
  assert.deepEqual(messages("0 10-3 * * *"), [
    ["reversed_range", 'Range "10-3" of hour is reversed: pg_cron reads it as 0 to 3 and 10 to 15'],
  ]);
  assert.deepEqual(messages("*/60 * * * *"), [[
    "dies_at_1_6_5",
    "From pg_cron 1.6.5 on this schedule is invalid and stops running: step of minute must be 1 to 59",
  ]]);
  assert.deepEqual(messages("@yearly", "1.4.2"), [
    ["changes_at_1_6", "From pg_cron 1.6 on this schedule means: never"],
  ]);
  assert.deepEqual(messages("5 seconds", "1.4.2"), [[
    "needs_newer_pg_cron",
    "Seconds need pg_cron 1.5 or later",
  ]]);
  assert.deepEqual(messages("0 0 $ * *", "1.5"), [["needs_newer_pg_cron", '"$" needs pg_cron 1.6 or later']]);
  for (
    const quiet of ["0 22-3 * * *", "* * * * *  \n", "0 0 29 2 *", "@hourly", "59 seconds", "*/59 */23 * * *"]
  ) {
    assert.deepEqual(messages(quiet), [], quiet);
  }
});

Deno.test("parseSchedule() warns of schedules that never fire, and only of those", () => {
  const never = [
    "0 0 31 2 *",
    "0 0 30 2 */2",
    "0 0 31 4,6,9,11 *",
    "@yearly",
    "@annually",
    "0 0 * * 6-1",
    "30-20/3 * * * *",
  ];
  for (const text of never) {
    assert.ok(warningCodes(text).includes("never_fires"), text);
    assert.equal(describeSchedule(parseSchedule(text)), "never");
    assert.equal(nextSlot(parseSchedule(text), 0, "GMT"), null);
  }
  for (const text of ["0 0 29 2 *", "0 0 31 2 1", "0 0 $ 2 *", "0 0 30 2,3 *"]) {
    assert.deepEqual(warningCodes(text), [], text);
    assert.notEqual(nextSlot(parseSchedule(text), 0, "GMT"), null);
  }
});

Deno.test("parseSchedule() gives the same object for the same text and version", () => {
  assert.equal(parseSchedule("1 2 3 4 5"), parseSchedule("1 2 3 4 5", { pgCronVersion: "1.6" }));
  assert.notEqual(parseSchedule("1 2 3 4 5"), parseSchedule("1 2 3 4 5", { pgCronVersion: "1.4.2" }));
});

Deno.test("parseSchedule() marks schedules whose minute or hour starts with a star", () => {
  assert.deepEqual(["*/5 1 * * *", "5 *,3 * * *", "@hourly"].map((text) => cron(text).wild), [
    true,
    true,
    true,
  ]);
  assert.deepEqual(["5 1 * * *", "1,* 0 * * *", "@daily"].map((text) => cron(text).wild), [
    false,
    false,
    false,
  ]);
});

// ---- slots

Deno.test("slotsBetween() excludes the start and includes the end", () => {
  const times = slotTimes("*/5 * * * *", "GMT", "2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z");
  assert.deepEqual(times, ["2026-01-01T00:05", "2026-01-01T00:10"]);
  const within = slotTimes("*/5 * * * *", "GMT", "2025-12-31T23:59:59.999Z", "2026-01-01T00:04:59.999Z");
  assert.deepEqual(within, ["2026-01-01T00:00"]);
});

Deno.test("slotsBetween() ANDs the day fields where either starts with a star, else ORs them", () => {
  const january = (text: string) =>
    slotTimes(text, "GMT", "2025-12-31T23:59Z", "2026-01-31T23:59Z").map((time) => Number(time.slice(8, 10)));
  assert.deepEqual(january("0 0 13 * 5"), [2, 9, 13, 16, 23, 30]);
  assert.deepEqual(january("0 0 */2 * 5"), [9, 23]);
  assert.deepEqual(january("0 0 1-7 * */5"), [2, 4]);
  assert.deepEqual(january("0 0 $ * 5"), [2, 9, 16, 23, 30, 31]);
  assert.deepEqual(january("0 0 $ * *"), [31]);
});

Deno.test("slotsBetween() skips a local time in the gap and runs one in the overlap twice", () => {
  const berlin = (text: string, day: string) =>
    slotTimes(text, "Europe/Berlin", `${day}T00:00Z`, `${day}T03:00Z`).map((time) => time.slice(11));
  assert.deepEqual(berlin("30 2 * * *", "2026-03-29"), []);
  assert.deepEqual(berlin("30 2 * * *", "2026-10-25"), ["00:30", "01:30"]);
  assert.deepEqual(berlin("0 * * * *", "2026-10-25"), ["01:00", "02:00", "03:00"]);
});

Deno.test("slotsBetween() knows a change of 30 minutes, odd offsets and daylight saving that is negative", () => {
  const lordHowe = (day: string) =>
    slotTimes("45 1 * * *", "Australia/Lord_Howe", `${day}T12:00Z`, `${day}T17:00Z`).map((time) =>
      time.slice(11)
    );
  assert.deepEqual(lordHowe("2026-04-04"), ["14:45", "15:15"]);
  assert.deepEqual(
    slotTimes("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00Z", "2026-10-03T18:00Z"),
    [],
  );
  const chatham = slotTimes("0 0 * * *", "Pacific/Chatham", "2026-07-01T00:00Z", "2026-07-02T00:00Z");
  assert.deepEqual(chatham, ["2026-07-01T11:15"]);
  const dublin = slotTimes("30 1 * * *", "Europe/Dublin", "2026-10-24T12:00Z", "2026-10-25T12:00Z");
  assert.deepEqual(dublin, ["2026-10-25T00:30", "2026-10-25T01:30"]);
});

Deno.test("slotsBetween() takes a minute for the last day's if the wall clock 24 hours later shows a 1st", () => {
  const berlin = (after: string, until: string) => slotTimes("30 0,23 $ * *", "Europe/Berlin", after, until);
  // The clock goes forward on Sunday, 31 March 2024: 23:30 on the 30th is 24 hours before 00:30 on 1 April.
  assert.deepEqual(berlin("2024-03-29T12:00Z", "2024-04-01T12:00Z"), [
    "2024-03-30T22:30",
    "2024-03-30T23:30",
    "2024-03-31T21:30",
  ]);
  // It goes back on Sunday, 31 October 2027: 00:30 is 24 hours before 23:30 of the same day.
  assert.deepEqual(berlin("2027-10-29T12:00Z", "2027-11-01T12:00Z"), ["2027-10-31T22:30"]);
});

Deno.test("slotsBetween() knows only GMT before pg_cron 1.5, which has no cron.timezone", () => {
  const question = { after: Date.UTC(2026, 0, 1), until: Date.UTC(2026, 0, 2), timeZone: "Asia/Tokyo" };
  const slotOf = (pgCronVersion: string) =>
    slotsBetween(parseSchedule("0 9 * * *", { pgCronVersion }), question).slots;
  assert.deepEqual(slotOf("1.4.2"), [Date.UTC(2026, 0, 1, 9)]);
  assert.deepEqual(slotOf("1.5"), [Date.UTC(2026, 0, 2, 0)]);
});

Deno.test("slotsBetween() says that a list is cut: by the limit, or after 100 years", () => {
  const schedule = parseSchedule("0 0 * * *");
  const question = { after: Date.UTC(2026, 0, 1), until: Date.UTC(2026, 0, 11), timeZone: "GMT" };
  assert.deepEqual(slotsBetween(schedule, { ...question, limit: 10 }).cut, false);
  const cut = slotsBetween(schedule, { ...question, limit: 9 });
  assert.deepEqual([cut.slots.length, cut.cut], [9, true]);
  const endless = slotsBetween(parseSchedule("0 0 1 1 *"), { ...question, until: Infinity });
  assert.deepEqual([endless.slots.length, endless.cut], [100, true]);
});

Deno.test("slotsBetween() counts seconds from the last start, and has no slots for @reboot and invalid texts", () => {
  const question = { after: 1_500, until: 61_500, timeZone: "GMT" };
  assert.deepEqual(slotsBetween(parseSchedule("30 seconds"), question).slots, [31_500, 61_500]);
  assert.equal(nextSlot(parseSchedule("30 seconds"), 1_500, "GMT"), 31_500);
  assert.equal(previousSlot(parseSchedule("30 seconds"), 31_500, "GMT"), 1_500);
  for (const text of ["@reboot", "nonsense"]) {
    assert.deepEqual(slotsBetween(parseSchedule(text), question).slots, []);
    assert.equal(nextSlot(parseSchedule(text), 0, "GMT"), null);
    assert.equal(previousSlot(parseSchedule(text), 0, "GMT"), null);
  }
});

Deno.test("slotsBetween() reports a zone that it does not know instead of guessing", () => {
  for (const timeZone of ["Mars/Olympus", "", "+03:00", "CET-1CEST", "localtime"]) {
    const answer = slotsBetween(parseSchedule("* * * * *"), { after: 0, until: dayMs, timeZone });
    assert.deepEqual(answer, { slots: [], cut: false, fault: `Unknown time zone "${timeZone}"` });
    assert.equal(nextSlot(parseSchedule("* * * * *"), 0, timeZone), null);
    assert.equal(previousSlot(parseSchedule("* * * * *"), 0, timeZone), null);
    assert.equal(isTimeZone(timeZone), false);
  }
  for (const name of ["GMT", "utc", "europe/BERLIN", "Etc/GMT+3", "US/Eastern"]) {
    assert.ok(isTimeZone(name), name);
  }
});

Deno.test("slotsBetween() answers for instants that are no numbers or beyond all calendars", () => {
  const schedule = parseSchedule("0 0 1 * *");
  for (const zone of ["GMT", "Europe/Berlin"]) {
    for (const instant of [NaN, Infinity, -Infinity, 8.64e15, -8.64e15, new Date("nonsense")]) {
      const { slots } = slotsBetween(schedule, { after: instant, until: instant, timeZone: zone });
      assert.ok(slots.length <= 1);
      nextSlot(schedule, instant, zone);
      previousSlot(schedule, instant, zone);
      slotsBetween(parseSchedule("1 second"), { after: instant, until: 0, timeZone: zone });
    }
  }
});

Deno.test("nextSlot() and previousSlot() look 41 years far, which spans a year 2100 without 29 February", () => {
  const schedule = parseSchedule("0 0 29 2 */7");
  const first = Date.UTC(2088, 1, 29);
  const second = Date.UTC(2128, 1, 29);
  assert.equal(nextSlot(schedule, first, "GMT"), second);
  assert.equal(previousSlot(schedule, second, "GMT"), first);
  assert.equal(nextSlot(schedule, first, "GMT", 39 * 365 * dayMs), null);
  assert.equal(previousSlot(schedule, second, "GMT", 39 * 365 * dayMs), null);
});

Deno.test("nextSlot() and previousSlot() are done with 31 February at once", () => {
  for (let call = 0; call < 100; call++) {
    assert.equal(nextSlot(parseSchedule("0 0 31 2 *"), Date.UTC(2026, 0, 1), "Africa/Casablanca"), null);
    assert.equal(previousSlot(parseSchedule("0 0 31 2 *"), Date.UTC(2026, 0, 1), "Africa/Casablanca"), null);
  }
});

// ---- against other engines

/** Numbers from a fixed seed, so that a failure can be repeated (mulberry32). */
function randomOf(seed: number): (low: number, high: number) => number {
  let state = seed;
  return (low, high) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return low + Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 * (high - low + 1));
  };
}

type Random = ReturnType<typeof randomOf>;

const bounds = [[0, 59], [0, 23], [1, 31], [1, 12], [0, 6]] as const;

function randomField(random: Random, [low, high]: readonly [number, number]): string {
  const first = random(low, high);
  const last = random(first, high);
  const step = random(1, Math.max(1, Math.floor(high / 3)));
  const parts = ["*", "*", `*/${step}`, `${first}`, `${first}-${last}`, `${first}-${last}/${step}`];
  const part = parts[random(0, parts.length - 1)] ?? "*";
  return random(0, 3) === 0 ? `${part},${random(low, high)}` : part;
}

function randomText(random: Random): string {
  const fields = bounds.map((bound) => randomField(random, bound));
  if (random(0, 5) === 0) fields[2] = "$";
  // Rare minutes make the windows below say little.
  if (random(0, 1) === 0) fields[1] = "*";
  return fields.join(" ");
}

/** What the wall clock shows at each minute: minute, hour, day, month, weekday. */
function wallClocks(timeZone: string, from: number, minutes: number): number[][] {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone,
    hourCycle: "h23",
    minute: "numeric",
    hour: "numeric",
    day: "numeric",
    month: "numeric",
    year: "numeric",
  });
  return Array.from({ length: minutes }, (_, index) => {
    const [day = 0, month = 0, year = 0, hour = 0, minute = 0] =
      (format.format(from + index * minuteMs).match(/\d+/g) ?? [])
        .map(Number);
    return [minute, hour, day, month, new Date(Date.UTC(year, month - 1, day)).getUTCDay()];
  });
}

function fieldMatches(field: string, value: number, [low, high]: readonly [number, number]): boolean {
  return field.split(",").some((part) => {
    const [range = "", step = "1"] = part.split("/");
    const [first = low, last = first] = range === "*" ? [low, high] : range.split("-").map(Number);
    return value >= first && value <= last && (value - first) % Number(step) === 0;
  });
}

/** pg_cron's rule, asked minute by minute: `tomorrow` is what the wall clock shows 24 hours later. */
function isDue(fields: readonly string[], now: readonly number[], tomorrow: readonly number[]): boolean {
  const matches = (index: number) =>
    fieldMatches(fields[index] ?? "", now[index] ?? -1, bounds[index] ?? [0, 0]);
  if (!matches(0) || !matches(1) || !matches(3)) return false;
  const byDate = fields[2] === "$" ? tomorrow[2] === 1 : matches(2);
  const isStarred = fields[2]?.startsWith("*") || fields[4]?.startsWith("*");
  return isStarred ? byDate && matches(4) : byDate || matches(4);
}

const changes: [string, string][] = [
  ["GMT", "2028-02-28T05:00Z"],
  ["Europe/Berlin", "2024-03-30T00:00Z"],
  ["Europe/Berlin", "2027-10-30T00:00Z"],
  ["America/New_York", "2026-10-31T12:00Z"],
  ["Australia/Lord_Howe", "2026-04-03T12:00Z"],
  ["Africa/Casablanca", "2026-02-14T00:00Z"],
  ["Pacific/Chatham", "2026-09-25T12:00Z"],
  ["America/St_Johns", "2026-12-30T12:00Z"],
  ["Europe/Dublin", "2026-10-24T12:00Z"],
  ["Pacific/Apia", "2011-12-28T12:00Z"],
];

for (const [timeZone, start] of changes) {
  Deno.test(`slotsBetween() agrees with asking every minute in ${timeZone} from ${start}`, () => {
    const random = randomOf(20_261_121);
    const from = Date.parse(start);
    const minutes = 3 * 1_440;
    const clocks = wallClocks(timeZone, from, minutes + 1_440);
    for (let round = 0; round < 80; round++) {
      const text = randomText(random);
      const fields = text.split(" ");
      const expected: number[] = [];
      for (let minute = 1; minute < minutes; minute++) {
        if (isDue(fields, clocks[minute] ?? [], clocks[minute + 1_440] ?? [])) {
          expected.push(from + minute * minuteMs);
        }
      }
      const until = from + (minutes - 1) * minuteMs;
      const { slots } = slotsBetween(parseSchedule(text), { after: from, until, timeZone, limit: minutes });
      assert.deepEqual(slots, expected, text);
    }
  });
}

Deno.test("nextSlot(), previousSlot() and slotsBetween() tell the same story", () => {
  const random = randomOf(4);
  const zones = ["GMT", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Gaza"];
  for (let round = 0; round < 150; round++) {
    const text = randomText(random);
    const schedule = parseSchedule(text);
    const timeZone = zones[round % zones.length] ?? "GMT";
    const after = Date.UTC(2026, random(0, 40), random(1, 28), 0, random(0, 1_440), random(0, 59));
    const question = { after, until: after + 400 * dayMs, timeZone };
    const { slots } = slotsBetween(schedule, { ...question, limit: 40 });
    let at = after;
    for (const slot of slots) {
      assert.equal(nextSlot(schedule, at, timeZone), slot, `${text} in ${timeZone} after ${at}`);
      if (at !== after) {
        assert.equal(previousSlot(schedule, slot, timeZone), at, `${text} in ${timeZone} before ${slot}`);
      }
      at = slot;
    }
    const middle = slots[Math.floor(slots.length / 2)] ?? question.until;
    const halves = [{ ...question, until: middle }, { ...question, after: middle }];
    const joined = halves.flatMap((half) => slotsBetween(schedule, { ...half, limit: 40 }).slots);
    assert.deepEqual(joined.slice(0, slots.length), slots, text);
  }
});

Deno.test("slotsBetween() agrees with croner wherever both mean the same", () => {
  const random = randomOf(11);
  for (let round = 0; round < 100; round++) {
    const fields = bounds.map((bound) => randomField(random, bound));
    // Days combine alike in both only where one of the two fields is a plain star.
    fields[random(0, 1) === 0 ? 2 : 4] = "*";
    const text = fields.join(" ");
    const after = new Date(Date.UTC(2026, random(0, 11), random(1, 28)));
    const expected = new Cron(text, { timezone: "UTC" }).nextRuns(12, after).map((run) => run.getTime());
    const until = after.getTime() + 20 * 365 * dayMs;
    const { slots } = slotsBetween(parseSchedule(text), { after, until, timeZone: "UTC", limit: 12 });
    assert.deepEqual(slots, expected, text);
  }
});

// ---- intervals and words

const intervals: [string, number | null][] = [
  ["* * * * *", 1],
  ["*/5 * * * *", 5],
  ["*/7 * * * *", 7],
  ["0 * * * *", 60],
  ["0 9,17 * * *", 480],
  ["0 9 * * 1-5", 1_440],
  ["*/10 9-17 * * 1-5", 10],
  ["30 3 * * 6", 10_080],
  ["0 0 1 * *", 44_640],
  ["0 0 29 2 *", 4 * 365 * 1_440 + 1_440],
  ["10 seconds", 10 / 60],
  ["0 0 31 2 *", null],
  ["@reboot", null],
  ["nonsense", null],
];

for (const [text, minutes] of intervals) {
  Deno.test(`typicalIntervalMinutes() of "${text}" is ${minutes}`, () => {
    assert.equal(typicalIntervalMinutes(parseSchedule(text)), minutes);
  });
}

const words: [string, string][] = [
  ["* * * * *", "every minute"],
  ["*/5 * * * *", "every 5 minutes"],
  ["*/7 * * * *", "at minutes 0, 7, 14, … 56 of every hour"],
  ["@hourly", "every hour"],
  ["15 * * * *", "at minute 15 of every hour"],
  ["0 */6 * * *", "every 6 hours"],
  ["15 */2 * * *", "every 2 hours from 00:15"],
  ["0 9 * * 1-5", "at 09:00 on Monday to Friday"],
  ["0 9,17 * * *", "at 09:00 and 17:00 every day"],
  ["0 9-17 * * 0,6", "every hour from 09:00 to 17:00 on Saturday and Sunday"],
  ["*/10 9-17 * * 1-5", "every 10 minutes from 09:00 to 17:50 on Monday to Friday"],
  ["*/20 1-3,20-23 * * *", "every 20 minutes in hours 1 to 3 and 20 to 23"],
  ["0-10 */3 * * *", "at minutes 0 to 10 of hours 0, 3, 6, … 21"],
  ["0 10-3 * * *", "at minute 0 of hours 0 to 3 and 10 to 15"],
  ["0 0 1 * *", "at 00:00 on day 1 of the month"],
  ["0 0 1,15 1-3 *", "at 00:00 on days 1 and 15 of January to March"],
  ["0 0 $ * *", "at 00:00 on the last day of the month"],
  ["0 0 $ * 1", "at 00:00 on the last day of the month or on Monday"],
  ["0 0 13 6 5", "at 00:00 on day 13 of the month or on Friday, in June"],
  ["0 0 1-7 * */7", "at 00:00 on days 1 to 7 of the month if it is Sunday"],
  ["0 0 1-31 2 1", "at 00:00 every day in February"],
  ["0 0 * 12 0", "at 00:00 on Sunday in December"],
  ["@reboot", "once, when the server starts"],
  ["1 second", "every second"],
  ["10 seconds", "every 10 seconds"],
  ["61 * * * *", "never: minute must be 0 to 59"],
];

for (const [text, sentence] of words) {
  Deno.test(`describeSchedule() says "${sentence}" of "${text}"`, () => {
    assert.equal(describeSchedule(parseSchedule(text)), sentence);
  });
}
