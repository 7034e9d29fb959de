/**
 * The instants at which pg_cron starts a job: its `ShouldRunTask`, asked for every UTC minute, answered by skipping.
 * There is no daylight-saving rule: within a span of constant offset the wall clock is UTC shifted, so walking span by
 * span runs a local time of the gap never and one of the overlap twice.
 */
import type { CronSchedule, Schedule } from "./model.ts";
import { findTimeZone, type Span, spanAt, type TimeZone } from "./zone.ts";

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
const yearMs = 365.25 * dayMs;

/** Farther than any zone's offset from UTC. */
const maxOffsetMs = dayMs;

/** No question looks farther than this. */
const maxSpanMs = 100 * yearMs;

/** The longest wait between two slots: 29 February on a given weekday, across a year such as 2100. */
const defaultHorizonMs = 41 * yearMs;

/** Instants beyond are taken for this one, on either side: a `Date` and so `Intl` ends a little later. */
const maxInstant = 8.6e15;

/** What to list. */
export interface SlotsQuestion {
  /** Exclusive. For `N seconds`: the last start, from which it counts. */
  after: Date | number;
  /** Inclusive; at most 100 years later. */
  until: Date | number;
  /** The value of `cron.timezone`. */
  timeZone: string;
  /** Most slots to list; default 1,000. */
  limit?: number;
}

/** Slots, or why there are none to tell. */
export interface Slots {
  /** Epoch ms, ascending. */
  slots: readonly number[];
  /** There are more: the limit was reached, or the question spans more than 100 years. */
  cut: boolean;
  /** `Unknown time zone "…"`: then there are no slots because nobody can say. */
  fault: string | null;
}

/**
 * Slots strictly after `after`, up to and with `until`. `@reboot` and invalid schedules have none.
 * Never throws; an instant that is not a number gives no slots.
 */
export function slotsBetween(schedule: Schedule, question: SlotsQuestion): Slots {
  const after = msOf(question.after);
  const until = Math.min(msOf(question.until), after + maxSpanMs);
  const limit = question.limit ?? 1_000;
  const zone = zoneOf(schedule, question.timeZone);
  if (!zone) return { slots: [], cut: false, fault: `Unknown time zone "${question.timeZone}"` };
  const slots: number[] = [];
  let cut = false;
  eachSlot(schedule, zone, after, until, (slot) => {
    cut = slots.length >= limit;
    if (!cut) slots.push(slot);
    return !cut;
  });
  return { slots, cut: cut || until < msOf(question.until), fault: null };
}

/**
 * The first slot strictly after an instant, in epoch ms; `null` if none comes within the horizon (default: 41 years,
 * which is as good as never) or the zone is unknown, which {@link isTimeZone} tells apart.
 */
export function nextSlot(
  schedule: Schedule,
  after: Date | number,
  timeZone: string,
  horizonMs: number = defaultHorizonMs,
): number | null {
  const zone = zoneOf(schedule, timeZone);
  let first: number | null = null;
  const until = msOf(after) + Math.min(horizonMs, maxSpanMs);
  if (zone) {
    eachSlot(schedule, zone, msOf(after), until, (slot) => {
      first = slot;
      return false;
    });
  }
  return first;
}

/** The last slot strictly before an instant; otherwise as {@link nextSlot}. `N seconds` is counted back from it. */
export function previousSlot(
  schedule: Schedule,
  before: Date | number,
  timeZone: string,
  horizonMs: number = defaultHorizonMs,
): number | null {
  const zone = zoneOf(schedule, timeZone);
  const last = Math.ceil(msOf(before)) - 1;
  const earliest = last - Math.min(horizonMs, maxSpanMs);
  if (!zone) return null;
  if (schedule.kind === "interval") {
    const slot = last + 1 - schedule.seconds * 1000;
    return slot > earliest ? slot : null;
  }
  // Windows that grow backwards: a dense schedule answers from the first, a rare one has little in the large ones.
  let found: number | null = null;
  let until = last;
  for (let width = 60 * minuteMs; found === null && until > earliest; width = Math.min(width * 4, yearMs)) {
    const after = Math.max(earliest, until - width);
    eachSlot(schedule, zone, after, until, (slot) => {
      found = slot;
      return true;
    });
    until = after;
  }
  return found;
}

const typicalIntervals = new WeakMap<Schedule, number | null>();

/**
 * The usual gap between two slots in minutes: the median of the first 512 gaps since 2024, the smaller of two. It is
 * `null` where there is no second slot. Zones are left out: they move slots by hours twice a year.
 */
export function typicalIntervalMinutes(schedule: Schedule): number | null {
  if (schedule.kind === "interval") return schedule.seconds / 60;
  if (schedule.kind !== "cron") return null;
  const known = typicalIntervals.get(schedule);
  if (known !== undefined) return known;
  const after = Date.UTC(2024, 0, 1) - 1;
  const { slots } = slotsBetween(schedule, { after, until: after + maxSpanMs, timeZone: "UTC", limit: 513 });
  const gaps = slots.slice(1).map((slot, index) => slot - (slots[index] ?? 0)).sort((a, b) => a - b);
  const median = gaps[Math.floor((gaps.length - 1) / 2)];
  const interval = median === undefined ? null : median / minuteMs;
  typicalIntervals.set(schedule, interval);
  return interval;
}

/** Whether slots can be told in a zone of this name. */
export function isTimeZone(name: string): boolean {
  return findTimeZone(name) !== null;
}

function zoneOf(schedule: Schedule, timeZone: string): TimeZone | null {
  return findTimeZone(schedule.kind === "cron" && schedule.alwaysGmt ? "GMT" : timeZone);
}

function msOf(instant: Date | number): number {
  return Math.max(-maxInstant, Math.min(Number(instant), maxInstant));
}

/** Is given one slot; answers whether it wants more. */
type Visit = (slot: number) => boolean;

function eachSlot(schedule: Schedule, zone: TimeZone, after: number, until: number, visit: Visit): void {
  if (schedule.kind === "interval") {
    const stepMs = schedule.seconds * 1000;
    for (let slot = after + stepMs; slot <= until && visit(slot); slot += stepMs);
  } else if (schedule.kind === "cron") {
    eachCronSlot(matcherOf(schedule), zone, after, until, visit);
  }
}

function eachCronSlot(matcher: Matcher, zone: TimeZone, after: number, until: number, visit: Visit): void {
  const lastInstant = Math.floor(until / minuteMs) * minuteMs;
  const lastDay = Math.floor((until + maxOffsetMs) / dayMs);
  let instant = (Math.floor(after / minuteMs) + 1) * minuteMs;
  while (instant <= lastInstant) {
    const day = nextDay(matcher, Math.floor((instant - maxOffsetMs) / dayMs), lastDay);
    if (day === null) return;
    instant = Math.max(instant, day * dayMs - maxOffsetMs);
    const span = spanAt(zone, instant);
    if (matcher.onceInOverlap) instant = Math.max(instant, span.from + overlapMs(zone, span));
    const last = Math.min(lastInstant, span.until - minuteMs);
    if (!eachSlotInSpan(matcher, zone, instant, last, span.offsetMs, visit)) return;
    instant = span.until;
  }
}

/** How much of a span's beginning shows the wall clock of the span before once more. */
function overlapMs(zone: TimeZone, span: Span): number {
  return Math.max(0, spanAt(zone, span.from - minuteMs).offsetMs - span.offsetMs);
}

/** Both ends are full minutes and inclusive. Answers whether more is wanted. */
function eachSlotInSpan(
  matcher: Matcher,
  zone: TimeZone,
  first: number,
  last: number,
  offsetMs: number,
  visit: Visit,
): boolean {
  const firstMinute = Math.floor((first + offsetMs) / minuteMs);
  const lastMinute = Math.floor((last + offsetMs) / minuteMs);
  const lastDay = Math.floor(lastMinute / 1440);
  let day = nextDay(matcher, Math.floor(firstMinute / 1440), lastDay);
  while (day !== null) {
    for (const hour of matcher.hours) {
      const hourStart = day * 1440 + hour * 60;
      if (hourStart + 59 < firstMinute) continue;
      if (hourStart > lastMinute) return true;
      for (const minute of matcher.minutes) {
        const wallMinute = hourStart + minute;
        if (wallMinute < firstMinute) continue;
        if (wallMinute > lastMinute) return true;
        // Rounding up is for offsets with seconds, before 1972: the one full minute that shows this wall clock.
        const slot = Math.ceil((wallMinute * minuteMs - offsetMs) / minuteMs) * minuteMs;
        if (matcher.lastDayOfMonth && !isDueOnLastDay(matcher, zone, day, slot)) continue;
        if (!visit(slot)) return false;
      }
    }
    day = nextDay(matcher, day + 1, lastDay);
  }
  return true;
}

/** The fields of a schedule as the search wants them: bit n of a mask is the number n. */
interface Matcher {
  minutes: readonly number[];
  hours: readonly number[];
  daysOfMonth: number;
  months: number;
  daysOfWeek: number;
  lastDayOfMonth: boolean;
  bothDays: boolean;
  onceInOverlap: boolean;
}

const matchers = new WeakMap<CronSchedule, Matcher>();

function matcherOf(cron: CronSchedule): Matcher {
  let matcher = matchers.get(cron);
  if (!matcher) {
    matcher = {
      minutes: cron.minutes,
      hours: cron.hours,
      daysOfMonth: maskOf(cron.daysOfMonth),
      months: cron.minutes.length > 0 && cron.hours.length > 0 ? maskOf(cron.months) : 0,
      daysOfWeek: maskOf(cron.daysOfWeek),
      lastDayOfMonth: cron.lastDayOfMonth,
      bothDays: cron.daysCombine === "and",
      // what is wild goes by real time
      onceInOverlap: cron.onceInOverlap === true && !cron.wild,
    };
    matchers.set(cron, matcher);
  }
  return matcher;
}

function maskOf(numbers: readonly number[]): number {
  return numbers.reduce((mask, number) => mask | (1 << number), 0);
}

/**
 * The first day from `day` to `lastDay` that can have slots, in days since 1970; `null` if there is none. With `$` a
 * day is let through that turns out to have none: {@link isDueOnLastDay} has the last word.
 */
function nextDay(matcher: Matcher, day: number, lastDay: number): number | null {
  let current = day;
  while (current <= lastDay) {
    const { month, dayOfMonth, daysInMonth } = dateOf(current);
    const monthEnd = current - dayOfMonth + daysInMonth;
    if (!(matcher.months >> month & 1)) current = monthEnd + 1;
    else {
      const monthStart = current - dayOfMonth;
      for (const end = Math.min(monthEnd, lastDay); current <= end; current++) {
        const number = current - monthStart;
        const nearMonthEnd = number === 1 || number >= daysInMonth - 1;
        const byDate = (matcher.daysOfMonth >>> number & 1) === 1 || (matcher.lastDayOfMonth && nearMonthEnd);
        if (combine(matcher, byDate, current)) return current;
      }
    }
  }
  return null;
}

/**
 * pg_cron takes a minute for one of the last day if 24 hours later the wall clock shows a 1st. Where the clock changes
 * at the end of a month that is so for an hour of the day before too, or for one hour less of the day itself.
 */
function isDueOnLastDay(matcher: Matcher, zone: TimeZone, day: number, slot: number): boolean {
  const tomorrow = slot + dayMs;
  const dayTomorrow = Math.floor((tomorrow + spanAt(zone, tomorrow).offsetMs) / dayMs);
  const isLastDay = dateOf(dayTomorrow).dayOfMonth === 1;
  return combine(matcher, isLastDay || (matcher.daysOfMonth >>> dateOf(day).dayOfMonth & 1) === 1, day);
}

function combine(matcher: Matcher, byDate: boolean, day: number): boolean {
  const dayOfWeek = (((day + 4) % 7) + 7) % 7; // 1970 began on a Thursday
  const byWeekday = (matcher.daysOfWeek >> dayOfWeek & 1) === 1;
  return matcher.bothDays ? byDate && byWeekday : byDate || byWeekday;
}

/** The Gregorian date of a day since 1970, in a calendar whose year begins with March (Howard Hinnant's method). */
function dateOf(day: number): { month: number; dayOfMonth: number; daysInMonth: number } {
  const sinceYear0 = day + 719_468;
  const era = Math.floor(sinceYear0 / 146_097);
  const dayOfEra = sinceYear0 - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1_460) + Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const dayOfMonth = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = yearOfEra + (month <= 2 ? 1 : 0); // within its era, which is all that the leap rule needs
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const daysInMonth = month === 2 ? (isLeap ? 29 : 28) : 30 + ((month + (month >> 3)) & 1);
  return { month, dayOfMonth, daysInMonth };
}
