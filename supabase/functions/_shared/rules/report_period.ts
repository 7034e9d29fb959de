/** Which days a report tells of. Days are UTC's, as those of `job_health_daily`. */
import type { ReportKind, ReportPeriod } from "../domain/report.ts";

const DAY = 86_400_000;

/**
 * The period of the report that is due at `now`: for `daily` the day before, beside the same weekday a week earlier; for
 * `weekly` the week that ended before the last Monday, beside the week before it. The same all day, and all week.
 */
export function reportPeriod(kind: ReportKind, now: Date): ReportPeriod {
  const today = Math.floor(now.getTime() / DAY) * DAY;
  if (kind === "daily") return periodOf(kind, today - DAY, 1);
  const sinceMonday = (new Date(today).getUTCDay() + 6) % 7;
  return periodOf(kind, today - (sinceMonday + 7) * DAY, 7);
}

function periodOf(kind: ReportKind, from: number, days: number): ReportPeriod {
  return {
    kind,
    days,
    from: dayOf(from),
    to: dayOf(from + (days - 1) * DAY),
    before: dayOf(from - 7 * DAY),
  };
}

/** When it ended, epoch milliseconds. */
export function endOf({ to }: Pick<ReportPeriod, "to">): number {
  return Date.parse(`${to}T00:00:00Z`) + DAY;
}

/** When the days that it compares with ended, epoch milliseconds. */
export function endOfBefore({ before, days }: Pick<ReportPeriod, "before" | "days">): number {
  return Date.parse(`${before}T00:00:00Z`) + days * DAY;
}

function dayOf(instant: number): string {
  return new Date(instant).toISOString().slice(0, 10);
}

/** `2026-11-20`, or `2026-11-09 to 2026-11-15`. */
export function periodInWords({ from, to }: ReportPeriod): string {
  return from === to ? from : `${from} to ${to}`;
}

/** What it is compared with: `the Friday before` or `the week before`. */
export function beforeInWords({ kind, before }: ReportPeriod): string {
  if (kind === "weekly") return "the week before";
  const weekday = new Date(`${before}T00:00:00Z`).toLocaleDateString("en-US", {
    weekday: "long",
    timeZone: "UTC",
  });
  return `the ${weekday} before`;
}
