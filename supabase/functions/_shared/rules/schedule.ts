/**
 * Schedules as pg_cron means them: read, told in words, and turned into instants. Exact to pg_cron, total (faults are
 * values), bounded (31 February does not hang) and cached. The rooms behind this door are in `schedule/`.
 */
import type { Schedule } from "./schedule/model.ts";
import { dialectName, readSchedule } from "./schedule/parse.ts";

export type {
  CronSchedule,
  IntervalSchedule,
  InvalidSchedule,
  RebootSchedule,
  Schedule,
  ScheduleWarning,
  ScheduleWarningCode,
} from "./schedule/model.ts";
export { faultMessage } from "./schedule/parse.ts";
export { describeSchedule } from "./schedule/describe.ts";
export {
  isTimeZone,
  nextSlot,
  previousSlot,
  type Slots,
  slotsBetween,
  type SlotsQuestion,
  typicalIntervalMinutes,
} from "./schedule/slots.ts";

/** Settings of {@link parseSchedule}. */
export interface ParseOptions {
  /**
   * Version of pg_cron that runs the schedule. `extversion` shows two numbers only: `1.6` counts as 1.6.4, which
   * hosted Supabase is known to run. Default: 1.6.4.
   */
  pgCronVersion?: string;
}

const maxCached = 4_096;
const maxCachedLength = 1_000;
const cache = new Map<string, Schedule>();

/**
 * Reads the text of `cron.job.schedule`. The same text and version give the same object, so what is derived from it
 * (typical interval, matcher) is derived once.
 */
export function parseSchedule(text: string, options: ParseOptions = {}): Schedule {
  const version = options.pgCronVersion ?? "1.6.4";
  const key = `${dialectName(version)} ${text}`;
  const known = cache.get(key);
  if (known) return known;
  const schedule = readSchedule(text, version);
  if (text.length > maxCachedLength) return schedule;
  if (cache.size >= maxCached) cache.clear();
  cache.set(key, schedule);
  return schedule;
}
