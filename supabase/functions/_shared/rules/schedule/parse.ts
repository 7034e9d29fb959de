/** Reads the text of `cron.job.schedule` exactly as the `entry.c` of each version of pg_cron does. */
import { describeSchedule } from "./describe.ts";
import { intervalFault, readInterval } from "./interval.ts";
import type { CronSchedule, Fault, InvalidSchedule, Schedule, ScheduleWarning } from "./model.ts";
import { numbersInWords } from "./words.ts";

/** What a version of pg_cron reads as its successors do. */
interface Dialect {
  /** Knows `N seconds` and `cron.timezone`. */
  from1_5: boolean;
  /** Knows `$`, fills ranges by the byte, and gives the nicknames for a year no month. */
  from1_6: boolean;
  /** Refuses steps above a field's maximum. */
  from1_6_5: boolean;
}

const newest: Dialect = { from1_5: true, from1_6: true, from1_6_5: true };

/** The longest text that pg_cron reads as fields, in bytes. */
const maxBytes = 999;

interface Field {
  name: string;
  low: number;
  high: number;
  /** First name is `low`; any case. */
  names: readonly string[];
  /** How the range is told in an error. */
  range: string;
}

const monthNames = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const dayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const minuteField: Field = { name: "minute", low: 0, high: 59, names: [], range: "0 to 59" };
const hourField: Field = { name: "hour", low: 0, high: 23, names: [], range: "0 to 23" };
const dayField: Field = { name: "day of month", low: 1, high: 31, names: [], range: "1 to 31" };
const monthField: Field = {
  name: "month",
  low: 1,
  high: 12,
  names: monthNames,
  range: "1 to 12 or jan to dec",
};
const weekdayField: Field = {
  name: "day of week",
  low: 0,
  high: 7,
  names: dayNames,
  range: "0 to 7 or sun to sat",
};

const yearly = "0 0 1 1 *";

const nicknames = new Map([
  ["hourly", "0 * * * *"],
  ["daily", "0 0 * * *"],
  ["midnight", "0 0 * * *"],
  ["weekly", "0 0 * * 0"],
  ["monthly", "0 0 1 * *"],
  ["yearly", yearly],
  ["annually", yearly],
  ["reboot", "reboot"],
  ["restart", "reboot"],
]);

/** Where reading stands. A function that answers `null` has written the fault. */
interface Reader {
  text: string;
  at: number;
  dialect: Dialect;
  fault: Fault | null;
  warnings: ScheduleWarning[];
}

/**
 * Reads one schedule. Never throws; faults are in the value.
 *
 * @param version of pg_cron; `1.6` alone, all that `extversion` tells, and anything unreadable count as 1.6.4,
 * 1.5 as 1.5.2 (1.5.0 took `5 minutes` for 5 seconds)
 */
export function readSchedule(text: string, version: string): Schedule {
  const dialect = dialectOf(version);
  const schedule = read(text, dialect);
  const warning = upgradeWarning(schedule, dialect, text);
  return warning ? { ...schedule, warnings: [...schedule.warnings, warning] } : schedule;
}

/** A name for all versions that read schedules alike. */
export function dialectName(version: string): string {
  return JSON.stringify(Object.values(dialectOf(version)));
}

function dialectOf(version: string): Dialect {
  const [, major = "1", minor = "6", patch] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(version) ?? [];
  const number = Number(major) * 1e6 + Number(minor) * 1e3 + Number(patch ?? (minor === "6" ? 4 : 0));
  return { from1_5: number >= 1_005_000, from1_6: number >= 1_006_000, from1_6_5: number >= 1_006_005 };
}

/** pg_cron tries the fields first and an interval second; only then does a text have a fault. */
function read(text: string, dialect: Dialect): Schedule {
  const reader: Reader = { text: text.split("\0", 1)[0] ?? "", at: 0, dialect, fault: null, warnings: [] };
  const schedule = readEntry(reader);
  if (schedule) return schedule;
  const seconds = readInterval(reader.text);
  if (!dialect.from1_5) {
    const reason = "pg_cron before 1.5 knows no seconds: write five fields";
    return seconds === null ? invalid(reader.fault) : invalid({ at: 0, reason });
  }
  if (seconds !== null && seconds >= 1 && seconds <= 59) return { kind: "interval", seconds, warnings: [] };
  return invalid(intervalFault(reader.text) ?? reader.fault);
}

function invalid(fault: Fault | null): InvalidSchedule {
  return { kind: "invalid", at: fault?.at ?? 0, reason: fault?.reason ?? "schedule is empty", warnings: [] };
}

function upgradeWarning(schedule: Schedule, dialect: Dialect, text: string): ScheduleWarning | null {
  if (dialect.from1_6_5) return null;
  const later = read(text, newest);
  if (schedule.kind === "invalid") {
    if (later.kind === "invalid") return null;
    const message = later.kind === "interval"
      ? "Seconds need pg_cron 1.5 or later"
      : '"$" needs pg_cron 1.6 or later';
    return { code: "needs_newer_pg_cron", message };
  }
  if (later.kind === "invalid") {
    const message = `From pg_cron 1.6.5 on this schedule is invalid and stops running: ${later.reason}`;
    return { code: "dies_at_1_6_5", message };
  }
  if (dialect.from1_6 || slotRule(schedule) === slotRule(later)) return null;
  const message = `From pg_cron 1.6 on this schedule means: ${describeSchedule(later)}`;
  return { code: "changes_at_1_6", message };
}

function slotRule(schedule: Schedule): string {
  if (schedule.kind !== "cron") return schedule.kind;
  const { minutes, hours, daysOfMonth, months, daysOfWeek } = schedule;
  return JSON.stringify([minutes, hours, daysOfMonth, months, daysOfWeek]);
}

function readEntry(reader: Reader): Schedule | null {
  if (new TextEncoder().encode(reader.text).length > maxBytes) {
    return fail(reader, maxBytes, `schedule must be at most ${maxBytes} bytes long`);
  }
  skipBlankLinesAndComments(reader);
  if (here(reader) === "") return fail(reader, 0, "schedule is empty");
  return here(reader) === "@" ? readNickname(reader) : readFields(reader);
}

function skipBlankLinesAndComments(reader: Reader): void {
  const skipped = /^(?:[ \t]*(?:#[^\n]*)?(?:\n|$))*[ \t]*/.exec(reader.text);
  reader.at = skipped?.[0].length ?? 0;
}

function readNickname(reader: Reader): Schedule | null {
  const start = reader.at;
  const name = /^[^ \t\n]*/.exec(reader.text.slice(start + 1))?.[0] ?? "";
  reader.at += 1 + name.length;
  const meaning = nicknames.get(name);
  if (meaning === undefined) return fail(reader, start, nicknameFault(name));
  warnOfRest(reader, `@${name}`);
  if (meaning === "reboot") return { kind: "reboot", warnings: reader.warnings };
  const schedule = readFields({ ...reader, text: meaning, at: 0 });
  if (!schedule || meaning !== yearly || !reader.dialect.from1_6) return schedule;
  const message = `pg_cron 1.6 and later read "@${name}" with no month, so it never fires: write "${yearly}"`;
  return { ...schedule, months: [], warnings: [...reader.warnings, { code: "never_fires", message }] };
}

function nicknameFault(name: string): string {
  const lower = name.toLowerCase();
  if (nicknames.has(lower)) return `nicknames are lower case: write "@${lower}"`;
  return `nickname must be one of ${[...nicknames.keys()].map((known) => `@${known}`).join(", ")}`;
}

function readFields(reader: Reader): CronSchedule | null {
  const stars: boolean[] = [];
  const sets: number[][] = [];
  let lastDayOfMonth = false;
  for (const field of [minuteField, hourField, dayField, monthField, weekdayField]) {
    stars.push(here(reader) === "*");
    const isLastDay = field === dayField && reader.dialect.from1_6 && here(reader) === "$";
    const set = isLastDay ? readLastDay(reader) : readList(reader, field);
    if (!set) return null;
    lastDayOfMonth ||= isLastDay;
    sets.push(set);
  }
  warnOfRest(reader, "the fifth field");
  const [minutes = [], hours = [], daysOfMonth = [], months = [], weekdays = []] = sets;
  const schedule: CronSchedule = {
    kind: "cron",
    minutes,
    hours,
    daysOfMonth,
    months,
    daysOfWeek: [...new Set(weekdays.map((day) => day % 7))].sort((a, b) => a - b),
    lastDayOfMonth,
    daysCombine: stars[2] || stars[4] ? "and" : "or",
    wild: Boolean(stars[0] || stars[1]),
    alwaysGmt: !reader.dialect.from1_5,
    warnings: reader.warnings,
  };
  if (!canFire(schedule)) {
    reader.warnings.push({ code: "never_fires", message: "No date satisfies this schedule: it never fires" });
  }
  return schedule;
}

/** `$` stands alone and sets no star: with a weekday beside it, either is enough. */
function readLastDay(reader: Reader): number[] | null {
  reader.at++;
  if (!isBlank(here(reader))) return fail(reader, reader.at, '"$" must stand alone in day of month');
  skipBlanks(reader);
  return [];
}

function readList(reader: Reader, field: Field): number[] | null {
  const values = new Set<number>();
  for (;;) {
    const range = readRange(reader, field);
    if (!range) return null;
    for (const value of range) values.add(value);
    if (here(reader) !== ",") break;
    reader.at++;
  }
  skipRestOfField(reader, field);
  skipBlanks(reader);
  return [...values].sort((a, b) => a - b);
}

function readRange(reader: Reader, field: Field): number[] | null {
  const start = reader.at;
  let first: number | null = field.low;
  let last: number | null = field.high;
  if (here(reader) === "*") reader.at++;
  else {
    first = last = readNumber(reader, field);
    if (first === null) return null;
    if (here(reader) === "/") return fail(reader, reader.at, stepWithoutRange(reader, field, start));
    if (here(reader) === "-") {
      reader.at++;
      last = readNumber(reader, field);
    }
  }
  if (last === null) return null;
  const text = reader.text.slice(start, reader.at);
  const step = here(reader) === "/" ? readStep(reader, field) : 1;
  if (step === null) return null;
  const values = rangeValues(reader.dialect, field, [first, last], step);
  if (first > last) warnOfReversal(reader, field, [first, last], text, values);
  return values;
}

function stepWithoutRange(reader: Reader, field: Field, start: number): string {
  const number = reader.text.slice(start, reader.at);
  const step = /^\d+/.exec(reader.text.slice(reader.at + 1))?.[0] ?? "1";
  return `a step needs a range: write "${number}-${field.high}/${step}"`;
}

/** A number or name of the field, refused where it lies outside. */
function readNumber(reader: Reader, field: Field): number | null {
  const start = reader.at;
  const word = readWord(reader);
  if (word === "" && isLineEnd(here(reader))) {
    return fail(reader, start, `${field.name} is missing: a schedule has five fields`);
  }
  const named = field.names.indexOf(word.toLowerCase());
  const value = named >= 0 ? named + field.low : intOf(word);
  if (value !== null && value >= field.low && value <= field.high) return value;
  const lastDay = field === dayField && reader.dialect.from1_6 ? ', or "$" alone for the last day' : "";
  return fail(reader, start, `${field.name} must be ${field.range}${lastDay}`);
}

function readStep(reader: Reader, field: Field): number | null {
  const start = ++reader.at;
  const step = intOf(readWord(reader));
  const highest = reader.dialect.from1_6_5 ? field.high : Number.MAX_SAFE_INTEGER;
  if (step !== null && step >= 1 && step <= highest) return step;
  const range = reader.dialect.from1_6_5 ? `1 to ${field.high}` : "1 or more";
  return fail(reader, start, `step of ${field.name} must be ${range}`);
}

/**
 * Members of a range. From 1.6 on, a reversed range without a step gives what the byte arithmetic of `bit_nset` sets:
 * the rest of the first number's byte and the beginning of the last one's, unless both are the same byte.
 */
function rangeValues(
  dialect: Dialect,
  field: Field,
  [first, last]: [number, number],
  step: number,
): number[] {
  if (first <= last || step !== 1 || !dialect.from1_6) return numbersFrom(first, last, step);
  const firstBit = first - field.low;
  const lastBit = last - field.low;
  if (firstBit >> 3 === lastBit >> 3) return [];
  const endOfByte = Math.min((firstBit | 7) + field.low, field.high);
  const startOfByte = (lastBit & ~7) + field.low;
  return [...numbersFrom(startOfByte, last, 1), ...numbersFrom(first, endOfByte, 1)];
}

function numbersFrom(first: number, last: number, step: number): number[] {
  const numbers: number[] = [];
  for (let number = first; number <= last; number += step) numbers.push(number);
  return numbers;
}

function warnOfReversal(
  reader: Reader,
  field: Field,
  [first, last]: [number, number],
  text: string,
  values: readonly number[],
): void {
  const goingRound = field.high - first + 1 + (last - field.low + 1);
  if (values.length === goingRound) return;
  const meaning = values.length === 0 ? "nothing" : numbersInWords(values);
  reader.warnings.push({
    code: "reversed_range",
    message: `Range "${text}" of ${field.name} is reversed: pg_cron reads it as ${meaning}`,
  });
}

/** What follows a complete list up to the next blank is skipped by pg_cron: `5.x` is 5, `*5` is every minute. */
function skipRestOfField(reader: Reader, field: Field): void {
  const start = reader.at;
  while (!isBlank(here(reader)) && !isLineEnd(here(reader))) reader.at++;
  warnOfIgnored(reader, reader.text.slice(start, reader.at), `in ${field.name}`);
}

function warnOfRest(reader: Reader, after: string): void {
  warnOfIgnored(reader, reader.text.slice(reader.at), `after ${after}`);
}

function warnOfIgnored(reader: Reader, ignored: string, where: string): void {
  const shown = ignored.trim().split("\n", 1)[0]?.slice(0, 40) ?? "";
  if (shown !== "") {
    reader.warnings.push({ code: "ignored_text", message: `pg_cron ignores "${shown}" ${where}` });
  }
}

/** C's `atoi` of an `int`, overflow included: `strtol` stops at 2^63 - 1 and the upper half is dropped. */
function intOf(digits: string): number | null {
  if (!/^[0-9]+$/.test(digits)) return null;
  if (digits.length < 10) return Number(digits);
  const long = BigInt(digits);
  return Number(BigInt.asIntN(32, long < 2n ** 63n ? long : 2n ** 63n - 1n));
}

/** Whether any date satisfies the fields; zones are not considered. */
function canFire(cron: CronSchedule): boolean {
  const longest = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  const reachable = cron.lastDayOfMonth ||
    cron.months.some((month) => cron.daysOfMonth.some((day) => day <= (longest[month - 1] ?? 0)));
  const byWeekday = cron.daysOfWeek.length > 0;
  const someDay = cron.daysCombine === "and" ? reachable && byWeekday : reachable || byWeekday;
  return someDay && cron.minutes.length > 0 && cron.hours.length > 0 && cron.months.length > 0;
}

function readWord(reader: Reader): string {
  const start = reader.at;
  while (/^[0-9A-Za-z]$/.test(here(reader))) reader.at++;
  return reader.text.slice(start, reader.at);
}

/** The character in turn; empty at the end. */
function here(reader: Reader): string {
  return reader.text.charAt(reader.at);
}

function isBlank(character: string): boolean {
  return character === " " || character === "\t";
}

function isLineEnd(character: string): boolean {
  return character === "" || character === "\n";
}

function skipBlanks(reader: Reader): void {
  while (isBlank(here(reader))) reader.at++;
}

function fail(reader: Reader, at: number, reason: string): null {
  reader.fault = { at, reason };
  return null;
}

/** An invalid schedule in words that name it: `Cannot parse schedule "61 * * * *": minute must be 0 to 59`. */
export function faultMessage(text: string, schedule: InvalidSchedule): string {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return `Cannot parse schedule "${shown}": ${schedule.reason} (at position ${schedule.at + 1})`;
}
