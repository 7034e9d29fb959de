/**
 * The registry of checks, most telling first: the first that finds something gives a job's incident its code, what
 * the others find is told in it.
 */
import type { Check } from "./check.ts";
import { criteria } from "./criteria.ts";
import { deadSchedule } from "./dead_schedule.ts";
import { failed } from "./failed.ts";
import { httpCalls } from "./http_calls.ts";
import { httpCannotWork } from "./http_cannot_work.ts";
import { missed } from "./missed.ts";
import { neverRan } from "./never_ran.ts";
import { overrun } from "./overrun.ts";
import { slow } from "./slow.ts";
import { stuck } from "./stuck.ts";

export const checks: readonly Check[] = [
  deadSchedule,
  stuck,
  neverRan,
  missed,
  failed,
  httpCalls,
  criteria,
  overrun,
  slow,
  httpCannotWork,
];

/** Those that need no clock: also asked while the project's is far off, since what failed has failed. */
export const checksWithoutClock: readonly Check[] = [deadSchedule, failed, httpCalls, criteria];
