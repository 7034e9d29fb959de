/** The jobs of a simulated project, and how their runs go. */
import type { JobAnnotations } from "../../supabase/functions/_shared/domain/job.ts";
import { typicalIntervalMinutes } from "../../supabase/functions/_shared/rules/schedule.ts";
import type { Injection } from "./injections.ts";
import { HOUR, injectionOn, MINUTE, SECOND, type StoredJob, type World } from "./world.ts";

/** How a job is written down, and how long it takes. */
export interface JobSpec {
  id: string;
  schedule: string;
  /** Milliseconds that a run usually takes: between these. */
  usual: readonly [least: number, most: number];
  /** One run in so many takes up to four times as long. */
  longOneIn: number;
  notes: Partial<JobAnnotations>;
  /** `null`: scheduled without a name. */
  named: boolean;
}

/** What a run comes to. */
export interface Outcome {
  durationMs: number;
  status: "succeeded" | "failed";
  message: string;
  /** It fails before the command is sent. */
  startFails: string | null;
  injection: Injection | null;
  long: boolean;
  unmet: boolean;
}

function spec(
  id: string,
  schedule: string,
  usual: readonly [number, number],
  notes: Partial<JobAnnotations> = {},
): JobSpec {
  return { id, schedule, usual, longOneIn: 200, notes, named: true };
}

/** Jobs of every kind of schedule. */
export const EVERY_JOB: readonly JobSpec[] = [
  spec("drain_queue", "* * * * *", [200, 3_000]),
  spec("sync_leads", "* * * * *", [8_000, 40_000], { graceMinutes: 5 }),
  spec("refresh_prices", "*/5 * * * *", [1_000, 30_000], { failureThreshold: 3 }),
  spec("rebuild_search", "*/5 * * * *", [60_000, 200_000], { maxRuntimeMinutes: 30 }),
  spec("poll_partner", "2-59/10 * * * *", [500, 20_000], { criticality: "critical", graceMinutes: 2 }),
  spec("import_orders", "*/15 * * * *", [10_000, 120_000], { minRows: 1 }),
  spec("reindex_part", "7,37 * * * *", [30_000, 5 * MINUTE]),
  spec("hourly_report", "0 * * * *", [5_000, 60_000], { successCheckSql: "select true" }),
  spec("hourly_wild", "@hourly", [1_000, 4_000], { graceMinutes: 5 }),
  spec("warm_cache", "17 */2 * * *", [1_000, 90_000]),
  spec("office_hours", "*/10 8-18 * * 1-5", [1_000, 8_000]),
  spec("every_six", "30 0,6,12,18 * * *", [60_000, 20 * MINUTE], { criticality: "low" }),
  spec("nightly_copy", "30 2 * * *", [10 * MINUTE, 40 * MINUTE], { maxRuntimeMinutes: 200 }),
  spec("nightly_fold", "30 1 * * *", [MINUTE, 4 * MINUTE]),
  spec("midnight", "0 0 * * *", [5_000, 50_000], { failureThreshold: 2 }),
  spec("daily_digest", "45 6 * * *", [5_000, 50_000], { graceMinutes: 10, minRows: 5 }),
  spec("weekday_close", "5 18 * * 1-5", [10_000, 90_000]),
  spec("weekly_purge", "0 4 * * 0", [5 * MINUTE, 25 * MINUTE]),
  spec("monthly_bill", "0 5 1 * *", [5 * MINUTE, 50 * MINUTE], { maxRuntimeMinutes: 240 }),
  spec("last_day", "15 23 $ * *", [10_000, 90_000]),
  spec("half_month", "40 3 1,15 * 3", [10_000, 90_000]),
  spec("pulse", "10 seconds", [50, 900]),
  spec("half_pulse", "30 seconds", [200, 12_000], { graceMinutes: 10 }),
  spec("after_start", "@reboot", [1_000, 2_000]),
  spec("never_fires", "0 0 31 2 *", [1_000, 2_000]),
  spec("broken_schedule", "61 * * * *", [1_000, 2_000]),
  { ...spec("unnamed", "20 * * * *", [1_000, 9_000]), named: false },
];

/** Jobs that run hourly or less often: a year of them is cheap. */
export const SPARSE_JOBS: readonly JobSpec[] = EVERY_JOB.filter(({ id }) =>
  [
    "hourly_report",
    "warm_cache",
    "nightly_copy",
    "nightly_fold",
    "daily_digest",
    "weekly_purge",
    "monthly_bill",
    "last_day",
    "half_month",
  ].includes(id)
);

/** Decides how a run goes. */
export function outcomeOf(world: World, job: StoredJob): Outcome {
  const { random } = world;
  const { spec } = job;
  const [least, most] = spec.usual;
  const long = random.chance(1 / spec.longOneIn);
  const rows = spec.notes.minRows ?? random.whole(0, 9);
  const usual: Outcome = {
    durationMs: random.spread(least, most) * (long ? random.between(1, 4) : 1),
    status: "succeeded",
    message: random.pick([`INSERT 0 ${rows}`, `${rows} rows`, `UPDATE ${rows}`]),
    startFails: null,
    injection: null,
    long,
    unmet: false,
  };
  return injected(world, job, usual) ?? usual;
}

function injected(world: World, job: StoredJob, usual: Outcome): Outcome | null {
  const { random } = world;
  const id = job.spec.id;
  const failed = injectionOn(world, id, "failed");
  if (failed !== null) {
    const startFails = random.chance(0.2) ? random.pick(["connection failed", "job startup timeout"]) : null;
    return { ...usual, status: "failed", message: "ERROR: division by zero", startFails, injection: failed };
  }
  const stuck = injectionOn(world, id, "stuck");
  if (stuck !== null) {
    const durationMs = stuck.until - world.agenda.now + random.between(0, MINUTE);
    return { ...usual, durationMs, injection: stuck, long: true, ...killed(random.chance(0.5), usual) };
  }
  const overrun = injectionOn(world, id, "overrun");
  if (overrun !== null) {
    const interval = (typicalIntervalMinutes(job.parsed) ?? 1) * MINUTE;
    return { ...usual, durationMs: interval * random.between(1.05, 2.5), injection: overrun, long: true };
  }
  const criteria = injectionOn(world, id, "criteria");
  if (criteria === null) return null;
  const few = Math.max(0, (job.spec.notes.minRows ?? 1) - 1);
  return { ...usual, message: `INSERT 0 ${few}`, injection: criteria, unmet: true };
}

function killed(byHand: boolean, usual: Outcome): Pick<Outcome, "status" | "message"> {
  return byHand ? { status: "failed", message: "ERROR: canceling statement due to user request" } : usual;
}

/** Kinds of faults that can be given to a job, and how long they have to last to be told. */
export function faultsOf(spec: JobSpec, intervalMs: number): Map<Injection["kind"], number> {
  const faults = new Map<Injection["kind"], number>();
  const several = Math.max(40 * MINUTE, (spec.notes.failureThreshold ?? 1) * intervalMs + 1.5 * intervalMs);
  faults.set("failed", several);
  faults.set("missed", Math.max(spec.notes.graceMinutes ?? 0, 1) * MINUTE + 1.2 * intervalMs);
  const limit = spec.notes.maxRuntimeMinutes;
  faults.set(
    "stuck",
    intervalMs + 1.5 * HOUR + Math.max(limit ? limit * MINUTE : 2 * HOUR, 20 * spec.usual[1]),
  );
  if (intervalMs < 20 * MINUTE && intervalMs >= 30 * SECOND) {
    faults.set("overrun", Math.max(HOUR, 8 * intervalMs));
  }
  if (spec.notes.minRows || spec.notes.successCheckSql) faults.set("criteria", several);
  return faults;
}
