/**
 * pg_cron's `ShouldRunTask`, asked for one minute: a second, independent way to the slots that `rules/schedule/slots.ts`
 * finds by skipping. Only the reading of the schedule's text is shared; golden data covers that.
 */
import type { CronSchedule } from "../../supabase/functions/_shared/rules/schedule.ts";

const MINUTE = 60_000;
const QUARTER = 15 * MINUTE;
const DAY = 24 * 60 * MINUTE;

/** What a clock on the wall shows. */
export interface WallClock {
  minute: number;
  hour: number;
  dayOfMonth: number;
  /** 1 to 12. */
  month: number;
  /** 0 is Sunday. */
  dayOfWeek: number;
  /** 24 hours later it shows a 1st. */
  lastDay: boolean;
}

const offsets = new Map<string, Map<number, number>>();
const formats = new Map<string, Intl.DateTimeFormat>();

let lastRead: { timeZone: string; minute: number; clock: WallClock } | null = null;

/** Reads the wall clock of a zone at a full UTC minute. Zones change at full quarters of an hour. */
export function wallClock(timeZone: string, minute: number): WallClock {
  if (lastRead?.minute !== minute || lastRead.timeZone !== timeZone) {
    lastRead = { timeZone, minute, clock: readWallClock(timeZone, minute) };
  }
  return lastRead.clock;
}

function readWallClock(timeZone: string, minute: number): WallClock {
  const local = new Date(minute + offsetOf(timeZone, minute));
  const tomorrow = new Date(minute + DAY + offsetOf(timeZone, minute + DAY));
  return {
    minute: local.getUTCMinutes(),
    hour: local.getUTCHours(),
    dayOfMonth: local.getUTCDate(),
    month: local.getUTCMonth() + 1,
    dayOfWeek: local.getUTCDay(),
    lastDay: tomorrow.getUTCDate() === 1,
  };
}

/** What a zone's clock shows more than UTC does, in milliseconds. */
export function offsetOf(timeZone: string, instant: number): number {
  const quarter = Math.floor(instant / QUARTER);
  const known = offsets.get(timeZone) ?? new Map<number, number>();
  offsets.set(timeZone, known);
  const found = known.get(quarter);
  if (found !== undefined) return found;
  const shown = Object.fromEntries(
    formatOf(timeZone).formatToParts(quarter * QUARTER).map(({ type, value }) => [type, Number(value)]),
  );
  const { year = 0, month = 0, day = 0, hour = 0, minute = 0 } = shown;
  const offset = Date.UTC(year, month - 1, day, hour, minute) - quarter * QUARTER;
  known.set(quarter, offset);
  return offset;
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone) ?? new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  });
  formats.set(timeZone, known);
  return known;
}

/** Which kinds of schedules pg_cron considers for a minute: after a stall it leaves out one or the other. */
export interface Considered {
  wild: boolean;
  fixed: boolean;
}

/** Whether a schedule is due when the wall clock shows this. */
export function shouldRun(schedule: CronSchedule, clock: WallClock, considered: Considered): boolean {
  if (!(schedule.wild ? considered.wild : considered.fixed)) return false;
  if (!schedule.minutes.includes(clock.minute) || !schedule.hours.includes(clock.hour)) return false;
  if (!schedule.months.includes(clock.month)) return false;
  const byDate = schedule.daysOfMonth.includes(clock.dayOfMonth) ||
    (schedule.lastDayOfMonth && clock.lastDay);
  const byWeekday = schedule.daysOfWeek.includes(clock.dayOfWeek);
  return schedule.daysCombine === "and" ? byDate && byWeekday : byDate || byWeekday;
}
