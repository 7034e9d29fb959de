/** The world of one watched project: its clock, its `cron` tables, its launcher, and the truth about each job. */
import type { CronRunStatus } from "../../supabase/functions/_shared/domain/run.ts";
import type { Schedule } from "../../supabase/functions/_shared/rules/schedule.ts";
import type { Agenda } from "./agenda.ts";
import type { JobSpec } from "./jobs.ts";
import type { Injection } from "./injections.ts";
import type { Random } from "./random.ts";

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** A row of `cron.job`. */
export interface StoredJob {
  jobId: number;
  jobName: string | null;
  schedule: string;
  /** `schedule` as this pg_cron reads it. */
  parsed: Schedule;
  command: string;
  active: boolean;
  /** Of its row so far: each makes it another version. */
  edits: number;
  /** How it behaves. */
  spec: JobSpec;
  /** Shared by all rows that the inventory takes for one job. */
  truth: JobTruth;
  /** True time at which this row was written. */
  createdAt: number;
}

/** A row of `cron.job_run_details`. `startedAt` and `endedAt` are the project's clock. */
export interface RunRow {
  runId: number;
  jobId: number;
  status: CronRunStatus;
  message: string | null;
  startedAt: number | null;
  endedAt: number | null;
  pid: number | null;
  /** True time at which the row was written, and at which its run was over. */
  insertedAt: number;
  overAt: number | null;
}

/** A time at which a job was due, by the project's clock, whatever the launcher did about it. */
export interface Slot {
  /** Project's clock. */
  at: number;
  /** True time at which the clock showed it. */
  dueAt: number;
  /** Project's clock; `null`: nothing was started for it. */
  startedAt: number | null;
  /** A run of the same job was in progress. */
  overlapped: boolean;
  /** The launcher was told to leave it out. */
  skippedBy: Injection | null;
}

/** A run that really happened. `startedAt` and `endedAt` are the project's clock, as pg_cron noted it. */
export interface Span {
  startedAt: number;
  endedAt: number | null;
  /** True time. */
  began: number;
  over: number | null;
  /** Its row says how it ended. */
  outcome: "success" | "failed" | "canceled" | "cut off" | null;
  /** What was made to go wrong with it. */
  injection: Injection | null;
  /** It took much longer than the job usually does. */
  long: boolean;
  /** Its owner would not call it a success. */
  unmet: boolean;
}

/** Everything true of one job, by the name that the inventory gives it. */
export interface JobTruth {
  name: string;
  /** Slots without a run, by their time. */
  unmet: Map<number, Slot>;
  /** Slots whose run started late, newest last. */
  late: Slot[];
  /** Newest last; enough of them for every check that can come. */
  spans: Span[];
  /** Start of the last run before them; project's clock. */
  forgottenUntil: number;
  current: Span | null;
  /** True times at which the failed runs since the last success ended; canceled ones do not count. */
  failedAt: number[];
  /** How the last run ended, started or not. */
  lastOutcome: Span["outcome"];
  lastUnmet: boolean;
  /** True time of the first end since which no run has done what its owner calls success. */
  unmetSince: number;
  lastInjection: Injection | null;
  lastEndedAt: number;
  /** Since when a job of `N seconds` waits, by the project's clock: it was created, resumed or edited then. */
  activeSince: number;
}

/** The launcher's memory of one job. */
export interface Task {
  jobId: number;
  active: boolean;
  /** Slots that wait for a run; `null` for what is due without one (`N seconds`, `@reboot`). */
  pending: (Slot | null)[];
  state: "waiting" | "starting" | "running";
  /** Project's clock. */
  lastStart: number;
  row: RunRow | null;
  span: Span | null;
  /** Changes with every run, so that what was planned for an older one is void. */
  turn: number;
}

/** pg_cron's background worker. */
export interface Launcher {
  /** It works, unless it is stalled. */
  up: boolean;
  /** Its process exists: what `pg_stat_activity` shows. */
  visible: boolean;
  /** True time. */
  startedAt: number;
  /** While set it cannot come up. */
  broken: "crash loop" | "not loaded" | null;
  /** True time. */
  stalledUntil: number;
  /** Project's clock; `0` after a start. */
  lastMinute: number;
  /** `cron.job` was written to. */
  stale: boolean;
  rebooted: boolean;
  tasks: Map<number, Task>;
  running: number;
  /** Wake-ups planned before are void. */
  wake: number;
  /** When it did nothing, true time; the last may be open. */
  idle: { from: number; until: number | null }[];
}

/** `cron.*` settings, fixed between two starts of the server. */
export interface Settings {
  timeZone: string;
  logRun: boolean;
  maxRunningJobs: number;
  pgCronVersion: string;
  backgroundWorkers: boolean;
}

/** One project. */
export interface World {
  agenda: Agenda;
  random: Random;
  settings: Settings;
  /** Project's clock minus true time. */
  clockOffset: number;
  serverUp: boolean;
  /** Project's clock. */
  serverStartedAt: number;
  /** The same in true time. */
  serverUpSince: number;
  /** Nobody can connect from outside. */
  cutOff: boolean;
  /** The monitor may see sessions of others. */
  statsVisible: boolean;
  /** It may read pg_cron's settings. */
  settingsVisible: boolean;
  jobs: Map<number, StoredJob>;
  nextJobId: number;
  rows: RunRow[];
  sequence: number;
  launcher: Launcher;
  truths: Map<string, JobTruth>;
  /** Those in force. */
  injections: Injection[];
  runsStarted: number;
  /** Times whose runs a restored backup has undone; true time. */
  undone: { from: number; until: number }[];
  /** Times in which the clock was far off, or pg_cron waited for it to catch up; no run of them has a true time. */
  clockFaults: { from: number; until: number }[];
  /** Edits that were taken back, and times without a log: what only a look between could have seen. True time. */
  hidden: { jobName: string | null; what: string; from: number; until: number }[];
  /** True time of the last start with another `cron.timezone`: what was due before is not known any more. */
  zoneChangedAt: number;
  /** True time before which no row is left. */
  purgedUntil: number;
  /** Which watch over the minutes is valid. */
  minuteWatch: unknown;
  /** How often each thing has really happened. */
  events: Map<string, number>;
}

/** What the project's clock shows. */
export function clockOf(world: World): number {
  return world.agenda.now + world.clockOffset;
}

/** What is true of a job of this name; it begins with the first question. */
export function truthOf(world: World, name: string): JobTruth {
  const known = world.truths.get(name);
  if (known !== undefined) return known;
  const truth: JobTruth = {
    name,
    unmet: new Map(),
    late: [],
    spans: [],
    forgottenUntil: 0,
    current: null,
    failedAt: [],
    lastOutcome: null,
    lastUnmet: false,
    unmetSince: 0,
    lastInjection: null,
    lastEndedAt: 0,
    activeSince: clockOf(world),
  };
  world.truths.set(name, truth);
  return truth;
}

/** What has been made to go wrong with a job right now. */
export function injectionOn(world: World, specId: string, kind: Injection["kind"]): Injection | null {
  const now = world.agenda.now;
  for (const one of world.injections) {
    if (one.kind === kind && one.specId === specId && one.from <= now && now < one.until) return one;
  }
  return null;
}

/** Counts something that has happened. */
export function noteEvent({ events }: World, what: string): void {
  events.set(what, (events.get(what) ?? 0) + 1);
}

/** A run of a job has failed. */
export function noteFailure(world: World, truth: JobTruth, injection: Injection | null): void {
  truth.failedAt.push(world.agenda.now);
  truth.lastOutcome = "failed";
  truth.lastEndedAt = world.agenda.now;
  truth.lastInjection = injection;
}
