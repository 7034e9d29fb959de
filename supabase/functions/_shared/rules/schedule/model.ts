/** What a schedule of pg_cron means once read; plain data, nothing happens here. */

/** Why a text is refused. */
export interface Fault {
  /** 0-based position in the text. */
  at: number;
  /** What is wrong there: `minute must be 0 to 59`. */
  reason: string;
}

/** Something a person should know about a schedule that pg_cron accepts, or will accept after an upgrade. */
export interface ScheduleWarning {
  code: ScheduleWarningCode;
  /** One sentence, ready to show. */
  message: string;
}

/** Stable codes of {@link ScheduleWarning}. */
export type ScheduleWarningCode =
  /** It is valid, and no date satisfies it. */
  | "never_fires"
  /** A step above its field's maximum: valid up to 1.6.4, refused and no longer run from 1.6.5 on. */
  | "dies_at_1_6_5"
  /** Read before 1.6.0, where it means other times than after. */
  | "changes_at_1_6"
  /** Text that pg_cron skips: after the fifth field, after a nickname, or at the end of a field. */
  | "ignored_text"
  /** A range such as `10-3` that gives another set than going round would. */
  | "reversed_range"
  /** This pg_cron refuses it, a newer one runs it. */
  | "needs_newer_pg_cron";

/** Five fields: a UTC minute is a slot when its wall clock in the zone matches all of this. */
export interface CronSchedule {
  kind: "cron";
  /** All sets ascending and without repetition; any of them may be empty. */
  minutes: readonly number[];
  hours: readonly number[];
  /** 1 to 31. */
  daysOfMonth: readonly number[];
  /** 1 to 12. */
  months: readonly number[];
  /** 0 (Sunday) to 6. */
  daysOfWeek: readonly number[];
  /** `$` in day of month: also a minute after whose next 24 hours the month has just begun. */
  lastDayOfMonth: boolean;
  /** `and` where a day field starts with `*`: both must hold; else either is enough. */
  daysCombine: "and" | "or";
  /**
   * Minute or hour starts with `*`. After a stall of 5 minutes to 3 hours pg_cron runs such a job at most once
   * and any other job for each slot it slept through.
   */
  wild: boolean;
  /** pg_cron before 1.5 knows no `cron.timezone`. */
  alwaysGmt: boolean;
  /** Where the clock is set back, a local time comes twice: as other crons than pg_cron do, run a fixed one only once. */
  onceInOverlap?: boolean;
  warnings: readonly ScheduleWarning[];
}

/** `N seconds`: counted from the last start, so it has no slots of its own. */
export interface IntervalSchedule {
  kind: "interval";
  /** 1 to 59 in pg_cron; as long as a person says where a job runs elsewhere. */
  seconds: number;
  warnings: readonly ScheduleWarning[];
}

/** `@reboot`: once, when the launcher starts. */
export interface RebootSchedule {
  kind: "reboot";
  warnings: readonly ScheduleWarning[];
}

/** `cron.schedule` refuses it, and a stored one never runs. */
export interface InvalidSchedule extends Fault {
  kind: "invalid";
  warnings: readonly ScheduleWarning[];
}

/** Everything that the text in `cron.job.schedule` can mean. */
export type Schedule = CronSchedule | IntervalSchedule | RebootSchedule | InvalidSchedule;
