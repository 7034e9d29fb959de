/** Schedules explained: for a person in words and times, for a program as JSON lines. No hub is needed. */
import { z } from "zod";
import {
  describeSchedule,
  faultMessage,
  parseSchedule,
  type ScheduleWarning,
  slotsBetween,
} from "../../supabase/functions/_shared/rules/schedule.ts";
import { type ScheduleAnswer, scheduleFires } from "../explain_schedule.ts";

/** What is asked of one schedule. */
export interface ScheduleToExplain {
  schedule: string;
  /** IANA name; pg_cron's `cron.timezone`. */
  timezone: string;
  /** Epoch milliseconds; fires are strictly after it. */
  from: number;
  count: number;
  pgCron: string;
}

/** A schedule as pg_cron means it. */
export interface ExplainedSchedule {
  schedule: string;
  kind: "cron" | "interval" | "reboot" | "invalid";
  words: string;
  timezone: string;
  pg_cron: string;
  /** Of an interval, from one start to the next. */
  seconds?: number;
  /** Of five fields: epoch seconds, ascending. */
  fires?: number[];
  /** The same in ISO 8601. */
  next?: string[];
  warnings: ScheduleWarning[];
  /** Why it is invalid. */
  error?: string;
  /** 0-based place of the fault. */
  position?: number;
}

/** A version of pg_cron, also as Debian's `extversion` has it. */
export const VERSION = /^\d+\.\d+(\.\d+)?(-\w+)?$/;
export const VERSION_FAULT = "must be a version such as 1.6.4";

/** The longest that slots are looked for. */
const HORIZON_MS = 100 * 365.25 * 24 * 60 * 60_000;

/** Explains one schedule. Never throws; what is invalid says why. */
export function explainSchedule(question: ScheduleToExplain): ExplainedSchedule {
  const { schedule: text, timezone, from, count, pgCron } = question;
  const schedule = parseSchedule(text, { pgCronVersion: pgCron });
  const explained = {
    schedule: text,
    kind: schedule.kind,
    words: describeSchedule(schedule),
    timezone,
    pg_cron: pgCron,
    warnings: [...schedule.warnings],
  };
  switch (schedule.kind) {
    case "invalid":
      return { ...explained, error: faultMessage(text, schedule), position: schedule.at };
    case "reboot":
      return explained;
    case "interval":
      return { ...explained, seconds: schedule.seconds };
    case "cron": {
      const until = from + HORIZON_MS;
      const { slots } = slotsBetween(schedule, { after: from, until, timeZone: timezone, limit: count });
      return {
        ...explained,
        fires: slots.map((slot) => slot / 1000),
        next: slots.map((slot) => new Date(slot).toISOString()),
      };
    }
  }
}

/** What a line leaves out. */
export type LineDefaults = Pick<ScheduleToExplain, "timezone" | "from" | "pgCron"> & { count?: number };

const question = z.object({
  schedule: z.string(),
  timezone: z.string().nullish(),
  from: z.number().nullish(),
  count: z.number().int().min(0).max(100_000).nullish(),
  horizon_minutes: z.number().nonnegative().nullish(),
  pg_cron: z.string().regex(VERSION, VERSION_FAULT).nullish(),
}, "must be a JSON object");

/** The answer to one line of JSON. A bad line is answered too, as invalid. */
export function answerLine(line: string, defaults: LineDefaults): ScheduleAnswer {
  const parsed = question.safeParse(jsonOf(line));
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${path.join(".") || "it"} ${message}`);
    return { kind: "invalid", error: `Cannot read the line: ${faults.join("; ")}` };
  }
  const { schedule, timezone, from, horizon_minutes, pg_cron } = parsed.data;
  const count = parsed.data.count ?? defaults.count;
  const answer = scheduleFires({
    schedule,
    timezone: timezone ?? defaults.timezone,
    from: from ?? defaults.from / 1000,
    pg_cron: pg_cron ?? defaults.pgCron,
    ...(count === undefined ? {} : { count }),
    ...(horizon_minutes === undefined || horizon_minutes === null ? {} : { horizon_minutes }),
  });
  // without its zone nobody can say when it fires
  return answer.kind === "cron" && answer.error !== undefined ? { ...answer, kind: "invalid" } : answer;
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
