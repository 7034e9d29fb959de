/** Answers, for one schedule, what kind it is and when it fires; the command line reads and writes it as JSON lines. */
import { parseSchedule, slotsBetween } from "../supabase/functions/_shared/rules/schedule.ts";

/** One line of input; units as in the golden data. */
export interface ScheduleQuestion {
  schedule: string;
  /** IANA name. Default: `GMT`, as pg_cron's. */
  timezone?: string;
  /** Epoch seconds; fires are strictly after it. */
  from: number;
  /** Most fires to list. Default: 16. */
  count?: number;
  /** Default: 600,000, a little more than a year. */
  horizon_minutes?: number;
  /** Default: 1.6.4. */
  pg_cron?: string;
}

/** One line of output. */
export interface ScheduleAnswer {
  kind: "cron" | "interval" | "reboot" | "invalid";
  /** With `interval`. */
  seconds?: number;
  /** With `cron`: epoch seconds, ascending. */
  fires?: number[];
  /** With `invalid`, or where the zone is unknown: what is wrong. */
  error?: string;
}

/** What pg_cron would make of a schedule. Never throws. */
export function scheduleFires(question: ScheduleQuestion): ScheduleAnswer {
  const { schedule: text, timezone = "GMT", from, count = 16, horizon_minutes = 600_000, pg_cron = "1.6.4" } =
    question;
  const schedule = parseSchedule(text, { pgCronVersion: pg_cron });
  switch (schedule.kind) {
    case "invalid":
      return { kind: "invalid", error: schedule.reason };
    case "reboot":
      return { kind: "reboot" };
    case "interval":
      return { kind: "interval", seconds: schedule.seconds };
    case "cron": {
      const { slots, fault } = slotsBetween(schedule, {
        after: from * 1000,
        until: (from + horizon_minutes * 60) * 1000,
        timeZone: timezone,
        limit: count,
      });
      if (fault !== null) return { kind: "cron", error: fault };
      return { kind: "cron", fires: slots.map((slot) => slot / 1000) };
    }
  }
}
